package submitcli

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"boxfleet/jobs"
)

type listFlags struct {
	states, outcomes []string
	tool, batch      string
	labels           []string
	since            string
	limit            int
}

func (a *app) listCommand() *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List jobs, newest first", Args: cobra.NoArgs,
		Long: "list shows the jobs whose results are kept and those that wait in the queue.",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.list(cmd.Context(), &f) },
	}
	fs := cmd.Flags()
	fs.StringSliceVar(&f.states, "state", nil, "scheduled, held, queued, running, retrying or done; several with commas")
	fs.StringSliceVar(&f.outcomes, "outcome", nil, "succeeded, exited, trapped, ...; several with commas")
	fs.StringVar(&f.tool, "tool", "", "NAME, NAME@VERSION or sha256:DIGEST")
	fs.StringVar(&f.batch, "batch", "", "batch id")
	fs.StringArrayVar(&f.labels, "label", nil, "KEY=VALUE; repeatable")
	fs.StringVar(&f.since, "since", "", "submitted within this time, such as 90s or 2h, or since a date such as 2026-01-31T15:04:05Z")
	fs.IntVar(&f.limit, "limit", 50, "at most this many")
	return cmd
}

// filter is the parsed flags.
type filter struct {
	states, outcomes []string
	tool, batch      string
	labels           map[string]string
	since            time.Time
}

var (
	states        = []jobs.State{jobs.Scheduled, jobs.Held, jobs.Queued, jobs.Running, jobs.Retrying, jobs.Done}
	waitingStates = states[:3] // these need no record
)

func (f *listFlags) filter() (filter, error) {
	out := filter{states: f.states, outcomes: f.outcomes, tool: f.tool, batch: f.batch}
	for _, s := range f.states {
		if !slices.Contains(states, jobs.State(s)) {
			return out, usagef("--state: %q is no state; write scheduled, held, queued, running, retrying or done", s)
		}
	}
	for _, o := range f.outcomes {
		if !slices.Contains(jobs.Outcomes, jobs.Outcome(o)) {
			return out, usagef("--outcome: %q is no outcome; the outcomes are %s", o, outcomeNames())
		}
	}
	if f.limit < 1 {
		return out, usagef("--limit: %d; at least 1", f.limit)
	}
	var err error
	if out.labels, err = pairs(f.labels, "KEY=VALUE"); err != nil {
		return out, usagef("--label: %w", err)
	}
	out.since, err = pastTime("since", f.since)
	return out, err
}

func outcomeNames() string {
	names := make([]string, len(jobs.Outcomes))
	for i, o := range jobs.Outcomes {
		names[i] = string(o)
	}
	return strings.Join(names, ", ")
}

func (f *filter) takes(r *jobs.Record) bool {
	switch {
	case len(f.states) > 0 && !slices.Contains(f.states, string(r.State)),
		len(f.outcomes) > 0 && (r.Result == nil || !slices.Contains(f.outcomes, string(r.Result.Outcome))),
		f.batch != "" && r.Batch != f.batch,
		f.tool != "" && f.tool != r.Tool.Name && f.tool != r.Tool.String() && f.tool != string(r.Tool.Digest),
		!f.since.IsZero() && r.SubmittedAt.Before(f.since):
		return false
	}
	for k, v := range f.labels {
		if got, ok := r.Labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// mayWait tells whether jobs without a record can match at all.
func (f *filter) mayWait() bool {
	if len(f.outcomes) > 0 {
		return false
	}
	return len(f.states) == 0 || slices.ContainsFunc(f.states, func(s string) bool {
		return slices.Contains(waitingStates, jobs.State(s))
	})
}

func (a *app) list(ctx context.Context, f *listFlags) error {
	want, err := f.filter()
	if err != nil {
		return err
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	newest := newestOf{limit: f.limit}
	for rec, err := range want.find(ctx, client) {
		if err != nil {
			return err
		}
		newest.add(rec)
	}
	return a.printRecords(newest.sorted(), newest.seen)
}

// find walks the jobs that the filter takes. Only those that can still wait
// are looked for in the queue.
func (f *filter) find(ctx context.Context, client *jobs.Client) iter.Seq2[*jobs.Record, error] {
	if f.mayWait() {
		return client.Find(ctx, f.takes)
	}
	return func(yield func(*jobs.Record, error) bool) {
		for rec, err := range client.Records(ctx) {
			if (err != nil || f.takes(rec)) && !yield(rec, err) {
				return
			}
		}
	}
}

// newestOf keeps the newest records, and few more than that in memory.
type newestOf struct {
	limit, seen int
	kept        []*jobs.Record
}

func byNewest(a, b *jobs.Record) int {
	if c := b.SubmittedAt.Compare(a.SubmittedAt); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

func (n *newestOf) add(r *jobs.Record) {
	n.seen++
	if n.kept = append(n.kept, r); len(n.kept) >= 2*n.limit+1024 {
		n.kept = n.sorted()
	}
}

func (n *newestOf) sorted() []*jobs.Record {
	slices.SortFunc(n.kept, byNewest)
	clear(n.kept[min(n.limit, len(n.kept)):])
	return n.kept[:min(n.limit, len(n.kept))]
}

func (a *app) printRecords(list []*jobs.Record, seen int) error {
	if a.globals.json {
		for _, r := range list {
			if r.Result != nil {
				inLists(r.Result)
			}
		}
		if list == nil {
			list = []*jobs.Record{}
		}
		return a.printJSON(list)
	}
	if len(list) == 0 {
		a.remark("no such jobs")
		return nil
	}
	rows := [][]string{{"ID", "TOOL", "STATE", "EXIT", "SUBMITTED", "RUN", "LABELS"}}
	for _, r := range list {
		exit, run := "", ""
		if r.Result != nil {
			exit = exitText(r.Result)
			if ms, ok := r.Result.Phases[jobs.PhaseRun]; ok {
				run = inMS(ms)
			}
		}
		rows = append(rows, []string{r.ID, toolText(r.Tool), stateAhead(r), exit, ago(r.SubmittedAt), run, labelText(r.Labels)})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	if seen > len(list) {
		a.remark("%d older ones are not shown; see --limit", seen-len(list))
	}
	return nil
}

func toolText(t jobs.Tool) string {
	if t.Name == "" {
		return t.Digest.Short()
	}
	return t.String()
}

func labelText(labels map[string]string) string {
	parts := make([]string, 0, len(labels))
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, fmt.Sprintf("%s=%s", k, labels[k]))
	}
	return strings.Join(parts, " ")
}
