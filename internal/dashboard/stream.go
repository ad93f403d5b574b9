package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"boxfleet/internal/fleetview"
	"boxfleet/jobs"
)

// writeTimeout is how long a browser may take to accept a piece.
const writeTimeout = 20 * time.Second

// quietFor is how long a stream is silent before it says that it is there.
const quietFor = 15 * time.Second

// events writes server-sent events (HTML standard, 9.2).
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// open starts a stream, unless there are too many.
func (s *Server) open(w http.ResponseWriter) (*events, func(), bool) {
	if s.streams.Add(1) > maxStreams {
		s.streams.Add(-1)
		fail(w, http.StatusServiceUnavailable, "too many pages of this dashboard are open")
		return nil, nil, false
	}
	e := &events{w, http.NewResponseController(w)}
	_ = e.control.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	return e, func() { s.streams.Add(-1) }, true
}

func (e *events) send(kind string, v any) error {
	data, err := json.Marshal(v) // on one line
	if err != nil {
		return err
	}
	_ = e.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	for _, part := range [][]byte{[]byte("event: " + kind + "\ndata: "), data, []byte("\n\n")} {
		if _, err := e.w.Write(part); err != nil {
			return err
		}
	}
	return e.control.Flush()
}

// tailSamples is how many samples come with each snapshot of a stream: a page
// that missed one can still fill it in.
const tailSamples = 5

// stream gives each new snapshot, with the newest samples of its series only.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	e, done, ok := s.open(w)
	if !ok {
		return
	}
	defer done()
	for {
		snap, changed := s.cfg.View.Snapshot()
		tail := *snap
		tail.Series = tail.Series[max(0, len(tail.Series)-tailSamples):]
		if e.send("snapshot", &tail) != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		}
	}
}

// logPiece is a piece of a guest's output.
type logPiece struct {
	Stream  string `json:"stream"`
	Attempt int    `json:"attempt"`
	Offset  int64  `json:"offset"`
	Text    string `json:"text"`
}

// jobEvents gives a job's changes and output until it has ended.
func (s *Server) jobEvents(w http.ResponseWriter, r *http.Request) {
	id, ok := jobID(w, r)
	if !ok {
		return
	}
	e, done, ok := s.open(w)
	if !ok {
		return
	}
	defer done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	type step struct {
		ev  *jobs.Event
		err error
	}
	steps := make(chan step)
	go func() {
		defer close(steps)
		for ev, err := range s.cfg.Client.Events(ctx, jobs.EventFilter{Job: id, Logs: true, Since: time.Unix(1, 0)}) {
			select {
			case steps <- step{ev, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() {
		cancel()
		for range steps {
		}
	}()
	split := map[string][]byte{}
	quiet := time.NewTicker(quietFor)
	defer quiet.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-quiet.C:
			err = e.send("quiet", struct{}{})
		case st, open := <-steps:
			switch {
			case !open:
				return
			case st.err != nil:
				if !errors.Is(st.err, context.Canceled) {
					_ = e.send("problem", map[string]string{"error": fleetview.Plain(st.err.Error())})
				}
				return
			case st.ev.Kind == jobs.EventLog:
				err = e.send("log", piece(st.ev.Log, split))
			case st.ev.State == string(jobs.Done):
				_ = e.send("end", struct{}{})
				return
			default:
				err = e.send("state", map[string]any{"state": st.ev.State, "attempt": st.ev.Attempt})
			}
		}
		if err != nil {
			return
		}
	}
}

// piece makes text of a piece of output. Bytes of a character that goes on in
// the next piece are kept for it.
func piece(c *jobs.LogChunk, split map[string][]byte) logPiece {
	name := fleetview.Plain(c.Stream)
	data := append(split[name], c.Data...)
	cut := len(data)
	for i := 1; i < utf8.UTFMax && i <= len(data); i++ {
		if b := data[len(data)-i]; utf8.RuneStart(b) {
			if !utf8.FullRune(data[len(data)-i:]) {
				cut = len(data) - i
			}
			break
		}
	}
	split[name] = append([]byte(nil), data[cut:]...)
	return logPiece{name, c.Attempt, c.Offset, fleetview.PlainText(string(data[:cut]))}
}
