package submitcli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/term"

	"boxfleet/artifacts"
	"boxfleet/internal/fleet"
	"boxfleet/jobs"
)

// app is one call of the program: its streams, its flags, and the connections
// that were opened so far.
type app struct {
	Program
	globals globals
	started bool // a command ran; errors before are about usage

	mu      sync.Mutex // guards overlay
	overlay io.Writer  // where remarks go while a progress bar is drawn

	context  *fleet.Context
	nc       *nats.Conn
	js       jetstream.JetStream
	jobs     *jobs.Client
	objects  *artifacts.Store
	shutdown func(context.Context) error
}

func newApp(p Program) *app { return &app{Program: p} }

// close ends the connections and sends what is left of the traces.
func (a *app) close() {
	if a.nc != nil {
		a.nc.Close()
	}
	if a.objects != nil {
		a.objects.Close()
	}
	if a.shutdown != nil {
		ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
		defer cancel()
		_ = a.shutdown(ctx) // a trace that cannot be sent must not change how the command ends
	}
}

// fleet finds the fleet once, and turns tracing on.
func (a *app) fleet(ctx context.Context) (*fleet.Context, error) {
	if a.context != nil {
		return a.context, nil
	}
	c, err := a.globals.fleet()
	if err != nil {
		return nil, err
	}
	if a.Telemetry != nil {
		if a.shutdown, err = a.Telemetry(ctx, c); err != nil {
			return nil, err
		}
	}
	a.context = c
	return c, nil
}

// client connects to the queue.
func (a *app) client(ctx context.Context) (*jobs.Client, error) {
	if a.jobs != nil {
		return a.jobs, nil
	}
	c, err := a.fleet(ctx)
	if err != nil {
		return nil, err
	}
	conn := c.Conn("submit")
	conn.Wait = a.globals.connectTimeout
	conn.Log = slog.New(lineHandler{a})
	if a.nc, a.js, err = jobs.Connect(ctx, conn); err != nil {
		return nil, err
	}
	a.jobs, err = jobs.NewClient(ctx, a.nc, a.js, c.Tenant)
	return a.jobs, err
}

// store opens the object store; it makes no request.
func (a *app) store(ctx context.Context) (*artifacts.Store, error) {
	if a.objects != nil {
		return a.objects, nil
	}
	c, err := a.fleet(ctx)
	if err != nil {
		return nil, err
	}
	if c.S3.Endpoint == "" {
		return nil, errors.New("this needs the object store, and none is set: give --s3-endpoint, --s3-access-key and --s3-secret-key, or a context that names them")
	}
	a.objects, err = artifacts.Open(c.Store())
	return a.objects, err
}

// tracer is the client's. Without a provider its spans record nothing.
func tracer() trace.Tracer { return otel.Tracer("boxfleet/submit") }

// say writes one line to standard error.
func (a *app) say(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.overlay
	if out == nil {
		out = a.Stderr
	}
	fmt.Fprintf(out, "submit: "+format+"\n", args...)
}

// remark is say for what a user may not want to read.
func (a *app) remark(format string, args ...any) {
	if !a.globals.quiet {
		a.say(format, args...)
	}
}

// terminal tells whether progress may be drawn on standard error.
func (a *app) terminal() bool {
	f, ok := a.Stderr.(*os.File)
	return ok && !a.globals.quiet && term.IsTerminal(int(f.Fd()))
}

// setOverlay sends remarks through a progress display, or back to standard
// error with nil.
func (a *app) setOverlay(w io.Writer) {
	a.mu.Lock()
	a.overlay = w
	a.mu.Unlock()
}

// lineHandler prints warnings of the connection as remarks.
type lineHandler struct{ a *app }

func (h lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (h lineHandler) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h lineHandler) WithGroup(string) slog.Handler                { return h }
func (h lineHandler) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(at slog.Attr) bool {
		text += fmt.Sprintf("; %s %v", at.Key, at.Value)
		return true
	})
	h.a.remark("%s", plain(text))
	return nil
}
