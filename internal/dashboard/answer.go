package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"boxfleet/internal/fleetview"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// reply answers with JSON.
func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the reader may be gone
}

// fail answers with an error's text.
func fail(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": fleetview.PlainText(text)})
}

// failed answers with an error of the fleet or of who asked.
func failed(w http.ResponseWriter, err error) {
	status := http.StatusBadGateway
	_, missing := errors.AsType[*jobs.NotFoundError](err)
	_, field := errors.AsType[*limits.FieldError](err)
	switch {
	case missing:
		status = http.StatusNotFound
	case field, errors.Is(err, errRequest):
		status = http.StatusBadRequest
	case errors.Is(err, context.DeadlineExceeded):
		status = http.StatusGatewayTimeout
	}
	fail(w, status, err.Error())
}

// errRequest marks what the request has wrong.
var errRequest = errors.New("bad request")

func badRequest(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errRequest, fmt.Errorf(format, args...))
}

// maxBody bounds the body of an action.
const maxBody = 64 << 10

// body reads an action's body; an empty one leaves v as it is.
func body(w http.ResponseWriter, r *http.Request, v any) error {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return badRequest("%w", err)
	}
	if len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return badRequest("%w", err)
	}
	return nil
}

// jobID gives the request's job or batch id.
func jobID(w http.ResponseWriter, r *http.Request) (string, bool) {
	id := r.PathValue("id")
	if !jobs.ValidID(id) {
		fail(w, http.StatusBadRequest, fmt.Sprintf("%q is not 1 to 64 letters, digits, - or _", id))
		return "", false
	}
	return id, true
}
