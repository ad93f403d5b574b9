package submitcli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"boxfleet/internal/batchfile"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// maxShownErrors is how many bad lines are reported one by one.
const maxShownErrors = 50

// plan is a batch between its two passes over the file. The first checks every
// line and learns which tools and directories they name; the second makes the
// jobs. Only what is distinct is kept: tools, paths, and ids that lines chose
// themselves.
type plan struct {
	app     *app
	client  *jobs.Client
	in      *batchInput
	flags   *batchFlags
	labels  map[string]string
	uploads *uploads
	tools   map[string]*toolRef

	id      string
	file    string         // id made from the file's content
	valid   int            // lines that become jobs
	bad     int            // lines that do not
	skipped map[int]bool   // bad lines, with --skip-invalid
	chosen  map[string]int // ids that lines chose, and the line
	sample  []textLine     // to see whether the batch was submitted before
}

// toolRef is a tool reference and what became of it.
type toolRef struct {
	*resolved
	err error
}

// textLine is a line as it stands in the file.
type textLine struct {
	number int
	text   []byte
}

// closeSamples is how many lines at the beginning are looked up to see whether
// a batch was submitted before; after them every line whose number is a power
// of two is.
const closeSamples = 16

func newPlan(a *app, c *jobs.Client, in *batchInput, f *batchFlags, labels map[string]string) *plan {
	return &plan{
		app: a, client: c, in: in, flags: f, labels: labels, uploads: newUploads(),
		tools: map[string]*toolRef{}, skipped: map[int]bool{}, chosen: map[string]int{},
	}
}

// check is the first pass. Bad lines are printed; unless they are to be
// skipped, any of them ends the batch before anything is sent.
func (p *plan) check(ctx context.Context) error {
	r, err := p.in.rewind()
	if err != nil {
		return err
	}
	p.id = p.flags.id
	for l, err := range lines(r) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			err = p.checkLine(ctx, l.number, l.text)
		}
		var whole *exitError
		switch {
		case err == nil:
			p.valid++
			if p.valid <= closeSamples || p.valid&(p.valid-1) == 0 {
				p.sample = append(p.sample, textLine{l.number, bytes.Clone(l.text)})
			}
		case errors.As(err, &whole): // not the line's fault
			return err
		default:
			p.report(l.number, err)
		}
	}
	p.file = r.ID()
	switch {
	case p.flags.fresh:
		p.id = jobs.NewID()
	case p.id == "":
		p.id = r.ID()
	}
	if p.bad > maxShownErrors {
		p.app.say("%s: and %s more", p.in.name, count(p.bad-maxShownErrors, "bad line"))
	}
	if p.bad > 0 && !p.flags.skipInvalid {
		return usagef("%s: %s of %d; nothing was submitted; --skip-invalid submits the others", p.in.name, count(p.bad, "bad line"), p.bad+p.valid)
	}
	return nil
}

// lines walks a reader's lines. An error that is not about one line ends it.
func lines(r *batchfile.Reader) iter.Seq2[textLine, error] {
	return func(yield func(textLine, error) bool) {
		for {
			number, text, err := r.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil && !errors.Is(err, batchfile.ErrLongLine) {
				yield(textLine{number, nil}, &exitError{exitFleet, fmt.Errorf("read the batch: %w", err)})
				return
			}
			if !yield(textLine{number, text}, err) {
				return
			}
		}
	}
}

func (p *plan) report(number int, err error) {
	p.bad++
	if p.flags.skipInvalid {
		p.skipped[number] = true
	}
	for l := range strings.SplitSeq(err.Error(), "\n") {
		if p.bad <= maxShownErrors {
			p.app.say("%s:%d: %s", p.in.name, number, plain(l))
		}
	}
}

func (p *plan) checkLine(ctx context.Context, number int, text []byte) error {
	var l batchfile.Line
	if err := batchfile.Decode(text, &l); err != nil {
		return err
	}
	if l.ID != "" {
		if first, twice := p.chosen[l.ID]; twice {
			return &limits.FieldError{Field: "id", Err: fmt.Errorf("%q is the id of line %d already", l.ID, first)}
		}
	}
	j, err := p.job(ctx, &l)
	if err != nil {
		return err
	}
	if j.ID = l.ID; j.ID == "" {
		j.ID = "unknown-yet"
	}
	if err := j.Validate(); err != nil {
		return err
	}
	// JSON text grows at most sixfold when it is written again, so only long
	// lines can be too large.
	if 6*len(text)+4096 > jobs.MaxJobSize {
		if _, err := j.Encode(); err != nil {
			return err
		}
	}
	if l.ID != "" {
		p.chosen[l.ID] = number
	}
	return nil
}

// job turns a line into a job without an id. Local directories become their
// digests, or a placeholder in the first pass.
func (p *plan) job(ctx context.Context, l *batchfile.Line) (*jobs.Job, error) {
	tool, err := p.tool(ctx, l.Tool)
	if err != nil {
		return nil, err
	}
	if err := tool.permit(&l.Options); err != nil {
		return nil, err
	}
	j := &jobs.Job{
		V: jobs.WireVersion, ID: l.ID, Tenant: p.client.Tenant(), Priority: l.Priority, Batch: p.batchID(), Tool: tool.tool,
		Args: l.Args, Stdin: l.Stdin, Options: l.Options, Labels: merge(l.Labels, p.labels), Retry: l.Retry,
		RunAt: l.RunAt, ExpiresAt: l.ExpiresAt, After: l.After, Concurrency: l.Concurrency, Rate: l.Rate,
		IdempotencyKey: l.IdempotencyKey, IdempotencyWindow: l.IdempotencyWindow, ReuseResult: l.ReuseResult,
	}
	if j.Priority == "" {
		if j.Priority = jobs.Priority(p.flags.priority); j.Priority == "" {
			j.Priority = jobs.Normal
		}
	}
	if len(l.Input) > 0 && string(l.Input) != "null" {
		argv, err := tool.argv(l.Input)
		if err != nil {
			return nil, &limits.FieldError{Field: "input", Err: err}
		}
		j.Args = append(argv, l.Args...)
	}
	if s := j.Stdin; s != nil && s.Source != "" {
		if s.Source, err = p.uploads.file("stdin.source", s.Source); err != nil {
			return nil, err
		}
	}
	if w := j.Options.WorkDir; w != nil {
		if w.Source, err = p.uploads.source("options.work_dir.source", w.Source); err != nil {
			return nil, err
		}
	}
	for i := range j.Options.MapDirs {
		m := &j.Options.MapDirs[i]
		if m.Source != "" && !remote(m.Source) {
			if m.Source, err = p.uploads.source(fmt.Sprintf("options.map_dirs[%d].source", i), m.Source); err != nil {
				return nil, err
			}
		}
	}
	return j, nil
}

func (p *plan) batchID() string {
	if p.id == "" {
		return "unknown-yet"
	}
	return p.id
}

// tool resolves each distinct reference once. A reference that names nothing
// is the fault of the lines that use it; a queue that cannot be asked ends the
// batch.
func (p *plan) tool(ctx context.Context, ref string) (*resolved, error) {
	t := p.tools[ref]
	if t == nil {
		r, err := p.app.resolve(ctx, ref)
		var missing *jobs.NotFoundError
		var ee *exitError
		switch {
		case errors.As(err, &missing):
			err = &limits.FieldError{Field: "tool", Err: err}
		case errors.As(err, &ee) && ee.code == exitUsage:
			err = &limits.FieldError{Field: "tool", Err: ee.err}
		case err != nil:
			return nil, &exitError{exitFleet, err}
		}
		t = &toolRef{resolved: r, err: err}
		p.tools[ref] = t
	}
	return t.resolved, t.err
}

// made is a job of the second pass.
type made struct {
	line int
	job  *jobs.Job
}

// make turns one line that the first pass took into its job.
func (p *plan) make(ctx context.Context, number int, text []byte) (made, error) {
	var l batchfile.Line
	err := batchfile.Decode(text, &l)
	if err == nil {
		var j *jobs.Job
		if j, err = p.job(ctx, &l); err == nil {
			if j.ID == "" {
				j.ID = batchfile.DeriveID(p.id, number, text, identity(j)...)
			}
			return made{number, j}, nil
		}
	}
	return made{}, fmt.Errorf("%s:%d: %w", p.in.name, number, err)
}

// identity is what the text of a line does not say of its job.
func identity(j *jobs.Job) []string {
	out := make([]string, 0, 4)
	out = append(out, string(j.Tool.Digest))
	if j.Stdin != nil {
		out = append(out, j.Stdin.Source)
	}
	if j.Options.WorkDir != nil {
		out = append(out, j.Options.WorkDir.Source)
	}
	for i := range j.Options.MapDirs {
		out = append(out, j.Options.MapDirs[i].Source)
	}
	return out
}

// jobs walks the second pass from the given job on, counting from 0.
func (p *plan) jobs(ctx context.Context, from int) iter.Seq2[made, error] {
	return func(yield func(made, error) bool) {
		r, err := p.in.rewind()
		if err != nil {
			yield(made{}, err)
			return
		}
		n := 0
		for l, err := range lines(r) {
			if err != nil && !errors.Is(err, batchfile.ErrLongLine) {
				yield(made{}, err)
				return
			}
			if err != nil || p.skipped[l.number] {
				continue
			}
			if n++; n <= from {
				continue
			}
			m, err := p.make(ctx, l.number, l.text)
			if !yield(m, err) || err != nil {
				return
			}
		}
		if n != p.valid || p.in.changed() {
			yield(made{}, fmt.Errorf("%s changed while it was read: it had %s, now %d; run the same command again", p.in.name, count(p.valid, "job"), n))
		}
	}
}

// lineOf gives the line of a job's id, or 0.
func (p *plan) lineOf(id string) int {
	if n, ok := p.chosen[id]; ok {
		return n
	}
	n, _ := batchfile.DerivedLine(p.id, id)
	return n
}
