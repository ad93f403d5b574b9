package submitcli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"boxfleet/internal/batchfile"
	"boxfleet/jobs"
)

type batchFlags struct {
	id          string
	fresh       bool
	wait        bool
	skipInvalid bool
	dryRun      bool
	results     string
	priority    string
	labels      []string
	traceRatio  float64

	notifyURL, notifySecret, notifySubject string
	maxQueued                              int
}

func (a *app) batchCommand() *cobra.Command {
	var f batchFlags
	cmd := &cobra.Command{
		Use:   "batch FILE.jsonl|-",
		Short: "Submit many jobs from a file, one JSON object a line",
		Long: "batch checks every line, uploads the local directories they name, and submits them\n" +
			"all. A line is {\"tool\", \"args\", \"input\", \"stdin\", \"options\", \"id\", \"labels\",\n" +
			"\"priority\", \"retry\"}; only the tool is required. docs/schema/batch-line.schema.json\n" +
			"describes it in full.\n\n" +
			"Running the same file again is safe: lines have the same ids, nothing runs twice, and\n" +
			"jobs that have ended give their results again. Ctrl-C leaves submitted jobs running.",
		Example: "  submit batch jobs.jsonl --wait --results results.jsonl\n" +
			"  jq -c '{tool: \"wc\", stdin: .text}' notes.json | submit batch - --wait",
		Args: cobra.MatchAll(func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("which file? write: submit batch FILE.jsonl, or - for standard input")
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error { return a.batch(cmd.Context(), &f, args[0]) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.BoolVar(&f.wait, "wait", false, "wait for all jobs, then print a summary")
	fs.StringVar(&f.results, "results", "", "write results as JSON Lines to FILE, or - for standard output; waits")
	fs.BoolVar(&f.skipInvalid, "skip-invalid", false, "report bad lines and submit the others")
	fs.BoolVar(&f.dryRun, "dry-run", false, "check every line and submit nothing")
	fs.StringVar(&f.id, "batch-id", "", "id of the batch; made from the file's content when absent")
	fs.BoolVar(&f.fresh, "fresh", false, "a new batch id: run everything again")
	fs.StringVar(&f.priority, "priority", "", "priority of lines that name none: high, normal or low")
	fs.StringArrayVar(&f.labels, "label", nil, "KEY=VALUE for every job that has no such label; repeatable")
	fs.IntVar(&f.maxQueued, "max-queued", 0, "submit on only while fewer of your jobs wait or run; 0 does not wait")
	fs.StringVar(&f.notifyURL, "notify-url", "", "https:// address that is told when all jobs have ended, by a signed POST request")
	fs.StringVar(&f.notifySecret, "notify-secret", "", "secret://NAME of the operator's secrets that signs it")
	fs.StringVar(&f.notifySubject, "notify-subject", "", "NATS subject below notify.<tenant> that is told")
	fs.Float64Var(&f.traceRatio, "trace-ratio", 0.01, "share of jobs that are traced; the first always is")
	cmd.AddCommand(a.batchStatusCommand(), a.batchCloseCommand())
	return cmd
}

func (f *batchFlags) check() (labels map[string]string, err error) {
	switch {
	case f.id != "" && f.fresh:
		return nil, usagef("--batch-id and --fresh exclude each other: a named batch is the same again")
	case f.id != "" && !jobs.ValidID(f.id):
		return nil, usagef("--batch-id: %q is not letters, digits, - or _", f.id)
	case len(f.id) > batchfile.MaxBatchID:
		return nil, usagef("--batch-id: %q is longer than %d bytes, and job ids start with it", f.id, batchfile.MaxBatchID)
	case f.priority != "" && f.priority != string(jobs.High) && f.priority != string(jobs.Normal) && f.priority != string(jobs.Low):
		return nil, usagef("--priority: %q is no priority; write high, normal or low", f.priority)
	case f.maxQueued < 0:
		return nil, usagef("--max-queued: %d is negative", f.maxQueued)
	case (f.notifyURL == "") != (f.notifySecret == ""):
		return nil, usagef("--notify-url and --notify-secret go together: every request is signed")
	case f.traceRatio < 0 || f.traceRatio > 1:
		return nil, usagef("--trace-ratio: %v is not between 0 and 1", f.traceRatio)
	}
	if labels, err = pairs(f.labels, "KEY=VALUE"); err != nil {
		return nil, usagef("--label: %w", err)
	}
	return labels, nil
}

// batch is the life of a batch on the client: open, check every line, upload,
// submit, and wait if asked to.
func (a *app) batch(ctx context.Context, f *batchFlags, name string) error {
	labels, err := f.check()
	if err != nil {
		return err
	}
	in, err := a.openBatch(ctx, name)
	if err != nil {
		return err
	}
	defer in.close()
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	p := newPlan(a, client, in, f, labels)
	if err := p.check(ctx); err != nil {
		return err
	}
	switch {
	case p.valid == 0:
		return usagef("%s holds no jobs", in.name)
	case f.dryRun:
		a.remark("%s checked, nothing submitted", count(p.valid, "job"))
		return exitWith(unfinishedIf(p.bad > 0))
	}
	if err := p.uploads.send(ctx, a); err != nil {
		return err
	}
	sink, err := a.openResults(f)
	if err != nil {
		return err
	}
	b, err := newBatchRun(a, client, p, f, sink)
	if err != nil {
		return errors.Join(err, sink.close())
	}
	err = b.run(ctx)
	return errors.Join(err, sink.close())
}

func unfinishedIf(bad bool) int {
	if bad {
		return exitUnfinished
	}
	return exitOK
}

// batchInput is the file of a batch, which is read twice.
type batchInput struct {
	name  string
	file  *os.File
	spool *guestInput
	stat  os.FileInfo // of a file that others may change meanwhile
}

// openBatch opens a regular file, or spools anything else.
func (a *app) openBatch(ctx context.Context, name string) (*batchInput, error) {
	if name == "-" {
		s, err := interruptible(ctx, func() (*guestInput, error) { return spool(a.Stdin, "batch") })
		if err != nil {
			return nil, err
		}
		return &batchInput{name: "standard input", file: s.file, spool: s}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, usage(plainPathError(err))
	}
	info, err := f.Stat()
	switch {
	case err == nil && info.IsDir():
		err = usagef("%s is a directory; give a file with one JSON object a line", name)
	case err == nil && info.Mode().IsRegular():
		return &batchInput{name: name, file: f, stat: info}, nil
	}
	defer f.Close()
	if err != nil {
		return nil, err
	}
	s, err := spool(f, "batch")
	if err != nil {
		return nil, err
	}
	return &batchInput{name: name, file: s.file, spool: s}, nil
}

// rewind starts another pass over the file.
func (in *batchInput) rewind() (*batchfile.Reader, error) {
	if _, err := in.file.Seek(0, 0); err != nil {
		return nil, fmt.Errorf("read %s again: %w", in.name, err)
	}
	return batchfile.NewReader(in.file), nil
}

// changed tells whether the file was written to since it was opened.
func (in *batchInput) changed() bool {
	if in.stat == nil {
		return false
	}
	now, err := in.file.Stat()
	return err != nil || now.Size() != in.stat.Size() || !now.ModTime().Equal(in.stat.ModTime())
}

func (in *batchInput) close() {
	if in.spool != nil {
		in.spool.close()
		return
	}
	_ = in.file.Close()
}
