package dashboard

import (
	"context"
	"fmt"
	"net/http"

	"boxfleet/jobs"
)

// unlock answers whether the token is right; the guard has checked it.
func (s *Server) unlock(w http.ResponseWriter, _ *http.Request) { reply(w, struct{}{}) }

func (s *Server) cancelJob(w http.ResponseWriter, r *http.Request) {
	id, ok := jobID(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	state, err := s.cfg.Client.Cancel(ctx, id)
	s.acted("cancel job", id, err)
	if err != nil {
		failed(w, err)
		return
	}
	reply(w, map[string]any{"state": state, "says": map[jobs.CancelState]string{
		jobs.CanceledQueued: "canceled; it never ran", jobs.CancelRequested: "its worker was told to stop it", jobs.AlreadyDone: "it had ended already",
	}[state]})
}

func (s *Server) cancelBatch(w http.ResponseWriter, r *http.Request) {
	id, ok := jobID(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 6*readTimeout)
	defer cancel()
	found, err := s.cfg.Client.CancelBatch(ctx, id)
	s.acted("cancel batch", id, err)
	if err != nil {
		failed(w, err)
		return
	}
	reply(w, map[string]any{"says": fmt.Sprintf("%d canceled in the queue, %d told to stop, %d had ended", found.Queued, found.Requested, found.Done)})
}

func (s *Server) changeSchedule(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	name, what := r.PathValue("name"), r.PathValue("what")
	says, err := "", error(nil)
	switch what {
	case "pause":
		says, err = "it starts no more by itself", s.cfg.Client.PauseSchedule(ctx, name, true)
	case "resume":
		says, err = "it starts by itself again", s.cfg.Client.PauseSchedule(ctx, name, false)
	case "start":
		var id string
		id, err = s.cfg.Client.StartSchedule(ctx, name)
		says = "started as job " + id
	default:
		err = badRequest("%q is nothing to do with a schedule; it can pause, resume and start", what)
	}
	s.acted(what+" schedule", name, err)
	if err != nil {
		failed(w, err)
		return
	}
	reply(w, map[string]any{"says": says})
}

// acted tells the log of an action.
func (s *Server) acted(what, on string, err error) {
	if err != nil {
		s.cfg.Log.Warn("an action failed", "what", what, "on", on, "error", err)
		return
	}
	s.cfg.Log.Info("an action", "what", what, "on", on)
}
