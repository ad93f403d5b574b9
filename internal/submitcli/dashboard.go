package submitcli

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"boxfleet/internal/dashboard"
	"boxfleet/internal/fleet"
	"boxfleet/internal/fleetview"
)

type dashboardFlags struct {
	listen, traceURL string
	actions          bool
}

func (a *app) dashboardCommand() *cobra.Command {
	var f dashboardFlags
	cmd := &cobra.Command{
		Use: "dashboard", Short: "Show the fleet on a web page of this machine", Args: cobra.NoArgs,
		Long: "dashboard serves a page on this machine's loopback and prints the address to open, which\n" +
			"holds the session's key. The page shows queues, jobs, outputs, dead letters, tools, batches,\n" +
			"schedules and workers as they change. With --actions it can also cancel, replay and pause, for\n" +
			"whoever has the token that is printed. It ends with Ctrl-C.",
		Example: "  submit dashboard\n  submit dashboard --actions --trace-url 'http://127.0.0.1:16686/trace/{trace_id}'",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.dashboard(cmd.Context(), &f) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.listen, "listen", "127.0.0.1:8460", "loopback address to serve on; port 0 for any")
	fs.BoolVar(&f.actions, "actions", false, "let the page cancel, replay and pause, for whoever has the token")
	fs.StringVar(&f.traceURL, "trace-url", "", "address of a trace in another program, with {trace_id}")
	return cmd
}

func (a *app) dashboard(ctx context.Context, f *dashboardFlags) error {
	if u, err := url.Parse(f.traceURL); f.traceURL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || !strings.Contains(f.traceURL, "{trace_id}")) {
		return usagef("--trace-url: %q is not an http:// or https:// address with {trace_id} in it", f.traceURL)
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	fc, err := a.fleet(ctx)
	if err != nil {
		return err
	}
	cfg := dashboard.Config{
		View: fleetview.New(fleetview.Source{Conn: a.nc, Stream: a.js, Client: client}), Client: client, TraceURL: f.traceURL,
		Key: dashboard.NewSecret(), Fleet: withoutSecrets(fc.NATS.URL), Version: cmp.Or(a.Version, buildVersion()), Log: slog.New(actionHandler{lineHandler{a}}),
	}
	if f.actions {
		cfg.Token = dashboard.NewSecret()
	}
	if fc.S3.Endpoint != "" {
		if cfg.Store, err = a.store(ctx); err != nil {
			return err
		}
	}
	if fc.HTTP != "" {
		cfg.Trace = traceSpans(fc)
	}
	server, err := dashboard.New(cfg)
	if err != nil {
		return err
	}
	l, err := dashboard.Listen(f.listen)
	if err != nil {
		return usage(err)
	}
	defer l.Close()
	if err := a.sayDashboard(server.URL(l), cfg.Token); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() { cfg.View.Run(ctx) })
	err = server.Serve(ctx, l)
	stop()
	looking.Wait()
	return err
}

// sayDashboard prints what opens the page. It is the command's output: whoever
// reads it may see the fleet.
func (a *app) sayDashboard(address, token string) error {
	if a.globals.json {
		return a.printLine(struct {
			URL   string `json:"url"`
			Token string `json:"token,omitempty"`
		}{address, token})
	}
	_, err := fmt.Fprintln(a.Stdout, address)
	if err == nil && token != "" {
		_, err = fmt.Fprintln(a.Stdout, "token for actions:", token)
	}
	a.remark("open the address above; Ctrl-C ends the dashboard")
	return wroteOut(err)
}

// withoutSecrets gives NATS addresses without what is before their @.
func withoutSecrets(addresses string) string {
	var out []string
	for part := range strings.SplitSeq(addresses, ",") {
		u, err := url.Parse(strings.TrimSpace(part))
		if err != nil || u.Host == "" {
			continue
		}
		out = append(out, u.Host)
	}
	return strings.Join(out, ", ")
}

// traceSpans reads traces from the worker that keeps them.
func traceSpans(fc *fleet.Context) func(context.Context, string) ([]dashboard.Span, error) {
	return func(ctx context.Context, id string) ([]dashboard.Span, error) {
		spans, err := fetchTrace(ctx, fc.HTTP, id)
		var out []dashboard.Span
		for _, s := range spans {
			attributes := map[string]string{}
			for _, at := range shownAttributes {
				if v, ok := s.Attributes[at.key]; ok {
					attributes[at.name] = fmt.Sprint(v)
				}
			}
			out = append(out, dashboard.Span{ID: s.SpanID, Parent: s.ParentID, Name: s.Name, Start: s.Start, End: s.End, Status: s.Status, Attributes: attributes})
		}
		return out, err
	}
}

// actionHandler is lineHandler for what is done through the page.
type actionHandler struct{ lineHandler }

func (h actionHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (h actionHandler) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h actionHandler) WithGroup(string) slog.Handler                { return h }
