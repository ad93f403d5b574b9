package submitcli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"boxfleet/jobs"
)

func (a *app) traceCommand() *cobra.Command {
	return &cobra.Command{
		Use: "trace ID", Short: "Print a job's trace as a tree with the time of each phase", Args: cobra.ExactArgs(1),
		Long: "trace reads the spans from the worker that keeps recent traces (worker dev does).\n" +
			"Without one, or for a job that was not sampled, it shows the phases of the result.",
		RunE: func(cmd *cobra.Command, args []string) error { return a.trace(cmd.Context(), args[0]) },
	}
}

// span is one span of a kept trace.
type span struct {
	TraceID    string         `json:"trace_id"`
	SpanID     string         `json:"span_id"`
	ParentID   string         `json:"parent_id"`
	Name       string         `json:"name"`
	Start      int64          `json:"start_unix_nano"`
	End        int64          `json:"end_unix_nano"`
	Attributes map[string]any `json:"attributes"`
	Status     string         `json:"status"`
}

func (a *app) trace(ctx context.Context, id string) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	rec, err := client.Get(ctx, id)
	if err != nil {
		return wrongID(err)
	}
	if rec.Result == nil {
		return &exitError{exitUnfinished, fmt.Errorf("job %s is %s; its trace is complete once it has ended", id, rec.State)}
	}
	fleet, err := a.fleet(ctx)
	if err != nil {
		return err
	}
	var spans []span
	if fleet.HTTP != "" && rec.Result.TraceID != "" {
		if spans, err = fetchTrace(ctx, fleet.HTTP, rec.Result.TraceID); err != nil {
			a.remark("%s", plain(err.Error()))
		}
	}
	if a.globals.json {
		if spans == nil {
			spans = []span{}
		}
		return a.printJSON(map[string]any{"id": id, "trace_id": rec.Result.TraceID, "spans": spans, "phases": inLists(rec.Result).Phases})
	}
	if len(spans) == 0 {
		a.remark("trace %s is not kept anywhere this program knows; these are the phases of the result", rec.Result.TraceID)
		return a.printPhases(rec.Result)
	}
	return a.printTree(rec.Result.TraceID, spans)
}

// maxTrace is the most bytes of spans that are read.
const maxTrace = 32 << 20

// traceWait is how long spans that are still on their way are waited for.
const traceWait = 2 * time.Second

// fetchTrace asks until the trace holds its root and the job's last span:
// programs send their spans a moment after they end.
func fetchTrace(ctx context.Context, base, id string) ([]span, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	until := time.Now().Add(traceWait)
	for {
		spans, err := getTrace(ctx, strings.TrimSuffix(base, "/")+"/traces/"+id)
		complete := slices.ContainsFunc(spans, func(s span) bool { return s.Name == "submit" }) &&
			slices.ContainsFunc(spans, func(s span) bool { return s.Name == "ack" })
		if complete || err != nil && !errors.Is(err, errNoTrace) || time.Now().After(until) {
			return spans, err
		}
		select {
		case <-ctx.Done():
			return spans, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

var errNoTrace = errors.New("the worker does not keep this trace")

func getTrace(ctx context.Context, url string) ([]span, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("read the trace: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read the trace: %w", err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return nil, errNoTrace
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("read the trace: %s answers %s", url, resp.Status)
	}
	var doc struct {
		Spans []span `json:"spans"`
	}
	dec := json.NewDecoder(io.LimitReader(resp.Body, maxTrace))
	dec.UseNumber() // counts are shown as they were sent
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("read the trace: %w", err)
	}
	return doc.Spans, nil
}

// shownAttributes are the attributes that a tree shows, under short names.
var shownAttributes = []struct{ key, name string }{
	{"boxfleet.tool", "tool"}, {"boxfleet.outcome", "outcome"}, {"boxfleet.cache", "cache"}, {"boxfleet.cache_hit", "cache"},
	{"boxfleet.attempt", "attempt"}, {"boxfleet.bytes", "bytes"}, {"boxfleet.fuel", "fuel"},
}

// printTree prints spans below their parents in the order of their starts,
// each with its length and its start after the first.
func (a *app) printTree(id string, spans []span) error {
	known := map[string]bool{}
	for _, s := range spans {
		known[s.SpanID] = true
	}
	children := map[string][]span{}
	for _, s := range spans {
		parent := s.ParentID
		if !known[parent] || parent == s.SpanID {
			parent = ""
		}
		children[parent] = append(children[parent], s)
	}
	for _, list := range children {
		slices.SortFunc(list, func(x, y span) int { return cmp.Or(cmp.Compare(x.Start, y.Start), cmp.Compare(x.End, y.End)) })
	}
	first, last := spans[0].Start, spans[0].End
	for _, s := range spans {
		first, last = min(first, s.Start), max(last, s.End)
	}
	rows := [][]string{{"trace " + id, roughly(time.Duration(last - first)), "", ""}}
	shown := map[string]bool{} // a cycle of parents must not go on for ever
	var walk func(parent, indent string)
	walk = func(parent, indent string) {
		list := children[parent]
		for i, s := range list {
			if shown[s.SpanID] {
				continue
			}
			shown[s.SpanID] = true
			branch, below := "├─ ", "│  "
			if i == len(list)-1 {
				branch, below = "└─ ", "   "
			}
			rows = append(rows, []string{indent + branch + s.Name, roughly(time.Duration(s.End - s.Start)),
				"at " + roughly(time.Duration(s.Start-first)), s.notes()})
			walk(s.SpanID, indent+below)
		}
	}
	walk("", "")
	return writeTree(a.Stdout, rows)
}

func (s span) notes() string {
	var parts []string
	for _, at := range shownAttributes {
		if v, ok := s.Attributes[at.key]; ok {
			parts = append(parts, fmt.Sprintf("%s=%v", at.name, v))
		}
	}
	if s.Status != "" && !strings.EqualFold(s.Status, "ok") && !strings.EqualFold(s.Status, "unset") {
		parts = append(parts, s.Status)
	}
	return strings.Join(parts, " ")
}

// writeTree aligns columns; an empty cell stays empty.
func writeTree(w io.Writer, rows [][]string) error {
	widths := make([]int, 3)
	for _, r := range rows {
		for i := range widths {
			widths[i] = max(widths[i], len([]rune(plain(r[i]))))
		}
	}
	for _, r := range rows {
		line := fmt.Sprintf("%-*s  %*s  %-*s  %s", widths[0], plain(r[0]), widths[1], plain(r[1]), widths[2], plain(r[2]), plain(r[3]))
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " ")); err != nil {
			return wroteOut(err)
		}
	}
	return nil
}

func (a *app) printPhases(r *jobs.Result) error {
	rows := [][]string{{"PHASE", "TIME"}}
	for _, p := range phaseOrder {
		if ms, ok := r.Phases[p]; ok {
			rows = append(rows, []string{p, inMS(ms)})
		}
	}
	return a.table(rows)
}
