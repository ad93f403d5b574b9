package dashboard

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"boxfleet/internal/fleetview"
	"boxfleet/jobs"
)

// readTimeout bounds what one answer asks of the fleet.
const readTimeout = 10 * time.Second

func (s *Server) session(w http.ResponseWriter, _ *http.Request) {
	reply(w, map[string]any{
		"tenant": s.cfg.View.Tenant(), "fleet": fleetview.Plain(s.cfg.Fleet), "version": s.cfg.Version, "actions": s.cfg.Token != "",
		"files": s.cfg.Store != nil, "trace_url": s.cfg.TraceURL, "outcomes": jobs.Outcomes,
	})
}

func (s *Server) overview(w http.ResponseWriter, _ *http.Request) {
	snap, _ := s.cfg.View.Snapshot()
	reply(w, snap)
}

func (s *Server) listJobs(w http.ResponseWriter, r *http.Request) {
	q, err := query(r)
	if err != nil {
		failed(w, err)
		return
	}
	page, err := s.cfg.View.Find(r.Context(), q)
	if err != nil {
		failed(w, err)
		return
	}
	reply(w, page)
}

func query(r *http.Request) (q fleetview.Query, err error) {
	v := r.URL.Query()
	q = fleetview.Query{Tool: v.Get("tool"), Batch: v.Get("batch"), Worker: v.Get("worker"), Priority: v.Get("priority"), Text: v.Get("q")}
	for _, state := range v["state"] {
		if state != "" {
			q.States = append(q.States, strings.Split(state, ",")...)
		}
	}
	for _, label := range v["label"] {
		if label == "" {
			continue
		}
		k, value, ok := strings.Cut(label, "=")
		if !ok || k == "" {
			return q, badRequest("label %q is not KEY=VALUE", label)
		}
		if q.Labels == nil {
			q.Labels = map[string]string{}
		}
		q.Labels[k] = value
	}
	if text := v.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 {
			return q, badRequest("limit %q is not a number of jobs", text)
		}
	}
	return q, nil
}

// tool is what the page shows of a tool: its newest version and all others.
type tool struct {
	Name        string    `json:"name"`
	Version     string    `json:"version"`
	Description string    `json:"description"`
	Keywords    []string  `json:"keywords"`
	Level       string    `json:"level"`
	Digest      string    `json:"digest"`
	Size        int64     `json:"size"`
	Kind        string    `json:"kind"`
	WASI        string    `json:"wasi"`
	Pushed      time.Time `json:"pushed"`
	Signed      int       `json:"signed"`
	Schema      string    `json:"schema"`
	Versions    []version `json:"versions"` // newest first
}

type version struct {
	Version  string   `json:"version"`
	Yanked   string   `json:"yanked,omitempty"`
	Channels []string `json:"channels,omitempty"`
}

// maxTools bounds the list of tools.
const maxTools = 2000

func (s *Server) tools(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	all, err := s.cfg.Client.Tools(ctx)
	if err != nil {
		failed(w, err)
		return
	}
	out := []*tool{}
	for i := range all { // by name, oldest first
		m := &all[i]
		n := len(out)
		if n == 0 || out[n-1].Name != fleetview.Plain(m.Name) {
			if n == maxTools {
				break
			}
			out = append(out, &tool{Name: fleetview.Plain(m.Name)})
			n++
		}
		out[n-1].add(m)
	}
	for _, t := range out {
		slices.Reverse(t.Versions)
	}
	reply(w, map[string]any{"tools": out})
}

func (t *tool) add(m *jobs.Manifest) {
	v := version{Version: fleetview.Plain(m.Version)}
	for _, c := range m.Channels {
		v.Channels = append(v.Channels, fleetview.Plain(c))
	}
	if m.Yanked != nil {
		v.Yanked = cmp.Or(fleetview.Plain(m.Yanked.Reason), "yanked")
	}
	t.Versions = append(t.Versions, v)
	if m.Yanked != nil && t.Version != "" {
		return
	}
	keywords := []string{}
	for _, k := range m.Keywords {
		keywords = append(keywords, fleetview.Plain(k))
	}
	t.Version, t.Description, t.Keywords, t.Level = v.Version, fleetview.PlainText(m.Description), keywords, fleetview.Plain(m.Level)
	t.Digest, t.Size, t.Kind, t.WASI = fleetview.Plain(string(m.Digest)), m.Size, fleetview.Plain(m.Kind), fleetview.Plain(m.WASI)
	t.Pushed, t.Signed, t.Schema = m.PushedAt, len(m.Signatures), indented(m.InputSchema)
}

// batchRow is what the page shows of a batch.
type batchRow struct {
	ID        string               `json:"id"`
	State     jobs.BatchState      `json:"state"`
	Total     int                  `json:"total"`
	Listed    int                  `json:"listed"`
	Ended     int                  `json:"ended"`
	Counts    map[jobs.Outcome]int `json:"counts"`
	Forgotten int                  `json:"forgotten"`
	Created   time.Time            `json:"created"`
	Finished  time.Time            `json:"finished,omitzero"`
	Canceling bool                 `json:"canceling"`
	Notice    string               `json:"notice,omitempty"`
}

func newBatchRow(b *jobs.Batch) batchRow {
	row := batchRow{
		ID: fleetview.Plain(b.ID), State: b.State, Total: b.Total, Listed: b.Listed, Ended: b.Ended(), Counts: b.Counts, Forgotten: b.Forgotten,
		Created: b.CreatedAt, Finished: b.EndedAt, Canceling: b.CancelRequested,
	}
	if row.Counts == nil {
		row.Counts = map[jobs.Outcome]int{}
	}
	if n := b.Notice; n != nil {
		row.Notice = string(n.State)
		if n.Error != "" {
			row.Notice += ": " + n.Error
		}
		row.Notice = fleetview.Plain(row.Notice)
	}
	return row
}

// Bounds on lists that are read from the fleet one by one.
const (
	maxBatches  = 5000
	shownOfList = 200
)

func (s *Server) batches(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	var rows []batchRow
	for b, err := range s.cfg.Client.Batches(ctx) {
		if err != nil {
			failed(w, err)
			return
		}
		if rows = append(rows, newBatchRow(b)); len(rows) == maxBatches {
			break
		}
	}
	slices.SortFunc(rows, func(a, b batchRow) int { return b.Created.Compare(a.Created) })
	reply(w, map[string]any{"batches": append([]batchRow{}, rows[:min(len(rows), shownOfList)]...), "found": len(rows)})
}

func (s *Server) batch(w http.ResponseWriter, r *http.Request) {
	id, ok := jobID(w, r)
	if !ok {
		return
	}
	b, err := s.cfg.Client.Batch(r.Context(), id)
	if err != nil {
		failed(w, err)
		return
	}
	reply(w, newBatchRow(b))
}

func (s *Server) schedules(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	list, err := s.cfg.Client.Schedules(ctx)
	if err != nil {
		failed(w, err)
		return
	}
	now := s.cfg.Client.Now(ctx)
	out := []map[string]any{}
	for _, x := range list {
		row := map[string]any{
			"name": fleetview.Plain(x.Name), "when": fleetview.Plain(x.When()), "paused": x.Paused, "overlap": fleetview.Plain(x.Overlap), "changed": x.ChangedAt,
		}
		if next := x.Next(now); !x.Paused && !next.IsZero() {
			row["next"] = next
		}
		if x.Job != nil {
			row["tool"], row["priority"] = fleetview.Plain(x.Job.Tool.String()), fleetview.Plain(string(x.Job.Priority))
			row["args"] = fleetview.Plain(fmt.Sprintf("%.400q", x.Job.Args))
		}
		out = append(out, row)
	}
	reply(w, map[string]any{"schedules": out, "now": now})
}
