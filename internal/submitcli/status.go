package submitcli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"boxfleet/jobs"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status [ID]", Short: "Show one job, or the fleet", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.fleetStatus(cmd.Context())
			}
			return a.jobStatus(cmd.Context(), args[0])
		},
	}
}

func (a *app) jobStatus(ctx context.Context, id string) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	rec, err := client.Get(ctx, id)
	if err != nil {
		return wrongID(err)
	}
	if a.globals.json {
		if rec.Result != nil {
			inLists(rec.Result)
		}
		return a.printJSON(rec)
	}
	rows := [][]string{
		{"job", rec.ID}, {"state", state(rec)}, {"tool", rec.Tool.String()}, {"submitted", when(rec.SubmittedAt)},
	}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	add("batch", rec.Batch)
	add("replay of", rec.ReplayOf)
	add("labels", labelText(rec.Labels))
	if rec.State == jobs.Scheduled {
		add("starts", whenAhead(rec.RunAt))
	}
	if rec.State == jobs.Held {
		add("waits for", afterText(rec.After))
	}
	if rec.State != jobs.Done && rec.State != jobs.Running {
		add("expires", whenAhead(rec.ExpiresAt))
	}
	add("worker", rec.Worker)
	if rec.Attempt > 1 || rec.State == jobs.Retrying {
		add("attempt", fmt.Sprint(rec.Attempt))
	}
	for _, t := range rec.Tries {
		add(fmt.Sprintf("attempt %d", t.Number), t.Worker+": "+t.Error)
	}
	if r := rec.Result; r != nil {
		add("exit code", exitText(r))
		add("result of", r.ReusedFrom)
		add("error", r.Error)
		add("fuel", fmt.Sprint(r.FuelConsumed))
		add("peak memory", size(int64(r.PeakMemory)))
		add("phases", phaseText(r))
		for _, d := range r.Denials {
			add("denied", fmt.Sprintf("%s %s: %s (%d)", d.What, d.Target, d.Rule, d.Count))
		}
		if len(r.Outputs) > 0 {
			add("outputs", fmt.Sprintf("%s, %s; fetch them with: submit result %s --output-dir DIR", count(len(r.Outputs), "file"), size(r.BytesOut), rec.ID))
		}
		add("trace", r.TraceID)
	}
	return a.table(rows)
}

// wrongID makes an id that can be none the user's mistake.
func wrongID(err error) error {
	var missing *jobs.NotFoundError
	if !errors.As(err, &missing) && strings.Contains(err.Error(), "job id") {
		return usage(err)
	}
	return err
}

// state is the state in words: the outcome once there is one.
func state(rec *jobs.Record) string {
	switch {
	case rec.State == jobs.Done && rec.Result != nil:
		return string(rec.Result.Outcome)
	case rec.State == jobs.Running && rec.CancelRequested:
		return "running, cancel requested"
	}
	return string(rec.State)
}

func exitText(r *jobs.Result) string {
	if r.ExitCode < 0 {
		return ""
	}
	return fmt.Sprint(r.ExitCode)
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime) + " (" + ago(t) + ")"
}

// whenAhead is a time that is to come, as a rule. What waits past its time is
// ended by the first worker that sees it.
func whenAhead(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	if d := time.Until(t); d > 0 {
		return t.Local().Format(time.DateTime) + " (in " + roughly(d) + ")"
	}
	return when(t)
}

// afterText is what a held job waits for.
func afterText(a *jobs.After) string {
	if a == nil {
		return ""
	}
	var parts []string
	for _, id := range a.Jobs {
		parts = append(parts, "job "+id)
	}
	for _, id := range a.Batches {
		parts = append(parts, "batch "+id)
	}
	to := " to succeed"
	if a.When == jobs.AfterEnded {
		to = " to end"
	}
	return strings.Join(parts, ", ") + to
}

// phaseOrder is the life of a job.
var phaseOrder = []string{jobs.PhaseQueueWait, jobs.PhaseReuse, jobs.PhaseFetch, jobs.PhaseCompile, jobs.PhaseStage, jobs.PhaseInstantiate, jobs.PhaseRun, jobs.PhaseUpload, jobs.PhaseCommit}

func phaseText(r *jobs.Result) string {
	var parts []string
	for _, p := range phaseOrder {
		if ms, ok := r.Phases[p]; ok {
			parts = append(parts, p+" "+inMS(ms))
		}
	}
	return strings.Join(parts, ", ")
}

// fleetStatus shows workers and queues.
func (a *app) fleetStatus(ctx context.Context) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	workers, err := a.workers(ctx)
	if err != nil {
		return err
	}
	depths, err := client.Depths(ctx)
	if err != nil {
		return err
	}
	if keyed, used, err := client.KeyedDepth(ctx); err != nil {
		return err
	} else if used {
		depths = append(depths, keyed)
	}
	if a.globals.json {
		queues := map[jobs.Priority]map[string]int{}
		for _, d := range depths {
			queues[d.Priority] = map[string]int{"waiting": d.Pending, "held": d.Active}
		}
		return a.printJSON(map[string]any{"tenant": client.Tenant(), "workers": workers, "queues": queues})
	}
	if len(workers) == 0 {
		if _, err := fmt.Fprintln(a.Stdout, "no worker is running; jobs wait until one starts"); err != nil {
			return wroteOut(err)
		}
	} else {
		rows := [][]string{{"WORKER", "BUSY", "SLOTS", "FINISHED", "UP", "VERSION", "STATE"}}
		for _, w := range workers {
			health := "well"
			if w.Sick != "" {
				health = "takes no jobs: " + w.Sick
			}
			rows = append(rows, []string{w.Name, fmt.Sprint(w.Active), fmt.Sprint(w.Slots), fmt.Sprint(w.Finished), roughly(time.Since(w.Started)), w.Version, health})
		}
		if err := a.table(rows); err != nil {
			return err
		}
	}
	rows := [][]string{{"QUEUE", "WAITING", "HELD"}}
	for _, d := range depths {
		rows = append(rows, []string{client.Tenant() + " " + string(d.Priority), fmt.Sprint(d.Pending), fmt.Sprint(d.Active)})
	}
	if _, err := fmt.Fprintln(a.Stdout); err != nil {
		return wroteOut(err)
	}
	return a.table(rows)
}

// workers reads what live workers say of themselves.
func (a *app) workers(ctx context.Context) ([]jobs.Presence, error) {
	kv, err := a.js.KeyValue(ctx, jobs.BucketWorkers)
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	keys, err := kv.Keys(ctx)
	if errors.Is(err, jetstream.ErrNoKeysFound) {
		return []jobs.Presence{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	out := []jobs.Presence{}
	for _, k := range keys {
		entry, err := kv.Get(ctx, k)
		if err != nil {
			continue // it left meanwhile
		}
		var p jobs.Presence
		if json.Unmarshal(entry.Value(), &p) == nil {
			out = append(out, p)
		}
	}
	return out, nil
}

func (a *app) workerCount(ctx context.Context) (int, error) {
	w, err := a.workers(ctx)
	return len(w), err
}
