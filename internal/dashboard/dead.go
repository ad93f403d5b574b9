package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"boxfleet/internal/fleetview"
	"boxfleet/jobs"
)

// letter is what the page shows of a dead letter.
type letter struct {
	Seq      uint64    `json:"seq"`
	Job      string    `json:"job"`
	Tool     string    `json:"tool"`
	Error    string    `json:"error"`
	Worker   string    `json:"worker"`
	Attempt  int       `json:"attempt"`
	At       time.Time `json:"at"`
	Tries    []try     `json:"tries,omitempty"`
	Message  string    `json:"message,omitempty"`
	Replayed string    `json:"replayed,omitempty"` // as this job
	State    string    `json:"replay_state,omitempty"`
}

func newLetter(d *jobs.DeadLetter) letter {
	return letter{
		Seq: d.Seq, Job: fleetview.Plain(d.Job), Tool: fleetview.Plain(d.Tool), Error: fleetview.PlainText(d.Error),
		Worker: fleetview.Plain(d.Worker), Attempt: d.Attempt, At: d.At,
	}
}

// maxLetters bounds how many dead letters one answer looks at: each is a
// request of the server.
const maxLetters = 5000

func (s *Server) listDead(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	v := r.URL.Query()
	filter := jobs.DeadFilter{Tool: v.Get("tool"), Error: v.Get("error"), Job: v.Get("job")}
	found, seen := []letter{}, 0
	more, unread := false, error(nil)
	for d, err := range s.cfg.Client.DeadLetters(ctx) {
		if err != nil { // of one letter, or of all that follow
			unread = err
			continue
		}
		if seen++; seen > maxLetters {
			more = true
			break
		}
		if filter.Takes(d) {
			found = append(found, newLetter(d))
		}
	}
	if unread != nil && len(found) == 0 {
		failed(w, unread)
		return
	}
	slices.Reverse(found)
	answer := map[string]any{"letters": found[:min(len(found), shownOfList)], "found": len(found), "more": more}
	if unread != nil {
		answer["problem"] = fleetview.Plain(unread.Error())
	}
	reply(w, answer)
}

func (s *Server) deadLetter(w http.ResponseWriter, r *http.Request) {
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
	if err != nil {
		fail(w, http.StatusBadRequest, fmt.Sprintf("%q is no number of a dead letter", r.PathValue("seq")))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	d, err := s.cfg.Client.DeadLetter(ctx, seq)
	if err != nil {
		failed(w, err)
		return
	}
	l := newLetter(d)
	for _, t := range d.Tries {
		l.Tries = append(l.Tries, try{t.Number, fleetview.Plain(t.Worker), t.At, fleetview.PlainText(t.Error), t.Uncounted})
	}
	l.Message = indented(d.Message)
	if rec, err := s.cfg.Client.Get(ctx, jobs.ReplayID(d.Job, d.Seq)); err == nil && rec.ReplayOf == d.Job {
		l.Replayed, l.State = rec.ID, string(rec.State)
	}
	reply(w, l)
}

// chosen are the letters that an action is for.
type chosen struct {
	Seqs  []uint64 `json:"seqs"`
	Again bool     `json:"again"`
}

// maxChosen bounds one action.
const maxChosen = 500

func (s *Server) eachDead(w http.ResponseWriter, r *http.Request, act func(ctx context.Context, c chosen, d *jobs.DeadLetter) (string, error)) {
	var c chosen
	err := body(w, r, &c)
	if err == nil && (len(c.Seqs) == 0 || len(c.Seqs) > maxChosen) {
		err = badRequest("%d dead letters are chosen; choose 1 to %d", len(c.Seqs), maxChosen)
	}
	if err != nil {
		failed(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 6*readTimeout)
	defer cancel()
	out := []map[string]any{}
	for _, seq := range c.Seqs {
		row := map[string]any{"seq": seq}
		d, err := s.cfg.Client.DeadLetter(ctx, seq)
		if err == nil {
			row["what"], err = act(ctx, c, d)
		}
		if ctx.Err() != nil {
			err = errors.Join(err, context.Cause(ctx))
		}
		if err != nil { // the others go on: one unreadable message must not keep them
			row["error"] = fleetview.Plain(err.Error())
		}
		s.acted(strings.TrimPrefix(r.URL.Path, "/api/dead/")+" dead letter", strconv.FormatUint(seq, 10), err)
		out = append(out, row)
	}
	reply(w, map[string]any{"letters": out})
}

func (s *Server) replayDead(w http.ResponseWriter, r *http.Request) {
	s.eachDead(w, r, func(ctx context.Context, c chosen, d *jobs.DeadLetter) (string, error) {
		receipt, err := s.cfg.Client.Replay(ctx, d, c.Again)
		return receipt.ID, err
	})
}

func (s *Server) purgeDead(w http.ResponseWriter, r *http.Request) {
	s.eachDead(w, r, func(ctx context.Context, _ chosen, d *jobs.DeadLetter) (string, error) {
		return "removed", s.cfg.Client.PurgeDead(ctx, d)
	})
}
