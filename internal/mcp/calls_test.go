package mcp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"boxfleet/jobs"
)

// sleeper is a tool that tells when it runs and ends when it is canceled.
type sleeper struct {
	started chan string // job ids
	ended   chan error
}

func newSleeper() *sleeper {
	return &sleeper{started: make(chan string, 100), ended: make(chan error, 100)}
}

func (s *sleeper) run(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
	a.Log("stdout", 0, []byte("half \x1b[1mway"))
	a.Log("stdout", 13, []byte(" there\n"))
	s.started <- a.Job.ID
	select {
	case <-ctx.Done():
		s.ended <- context.Cause(ctx)
		return nil, context.Cause(ctx)
	case <-time.After(time.Minute):
		s.ended <- errors.New("nobody canceled it")
		return done(0, "", ""), nil
	}
}

// canceled waits until the tool was canceled and its job's record says so.
func (s *sleeper) canceled(t *testing.T, u *user, id string) {
	t.Helper()
	select {
	case err := <-s.ended:
		if !errors.Is(err, jobs.ErrCanceled) {
			t.Errorf("the tool ended with %v, want a cancel", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the tool still runs")
	}
	waiter, err := u.client.NewWaiter("", id)
	if err != nil {
		t.Fatal(err)
	}
	defer waiter.Close()
	waiter.Expect(id)
	waiter.LookNow()
	rec, err := waiter.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rec.Result.Outcome != jobs.Canceled {
		t.Errorf("the job's outcome is %s, want canceled", rec.Result.Outcome)
	}
}

func TestProgressTellsStateAndOutput(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	release := make(chan struct{})
	tool := u.tool(func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		a.Log("stdout", 0, []byte("first\nhalf \x1b[1mway"))
		a.Log("stdout", 18, []byte(" there\n\n"))
		<-release
		return done(0, "x", ""), nil
	})
	s := u.server()
	for _, version := range versions {
		a := s.connect(t, version)
		p := &sdk.CallToolParams{Name: tool}
		p.SetProgressToken("token")
		answered := make(chan *sdk.CallToolResult, 1)
		go func() {
			r, err := a.CallTool(t.Context(), p)
			if err != nil {
				t.Error(err)
			}
			answered <- r
		}()
		var heard []string
		for late := time.After(20 * time.Second); ; {
			select {
			case m := <-a.progress:
				heard = append(heard, m)
			case <-late:
				t.Fatalf("heard %q only", heard)
			}
			if heard[len(heard)-1] == "half [1mway there" {
				break
			}
		}
		if !strings.HasPrefix(heard[0], "queued as job mcp-") {
			t.Errorf("heard %q", heard)
		}
		release <- struct{}{}
		wants(t, <-answered, false, "x")
	}
	// Without a token nothing is said.
	a := s.connect(t, versions[0])
	go func() { release <- struct{}{} }()
	wants(t, a.call(tool, nil), false, "x")
	if len(a.progress) > 0 {
		t.Errorf("progress nobody asked for: %q", <-a.progress)
	}
}

func TestCancelEndsTheJob(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	sleep := newSleeper()
	tool := u.tool(sleep.run)
	s := u.server()
	for _, version := range versions {
		a := s.connect(t, version)
		ctx, cancel := context.WithCancel(t.Context())
		answered := make(chan error, 1)
		go func() {
			_, err := a.CallTool(ctx, &sdk.CallToolParams{Name: tool})
			answered <- err
		}()
		id := <-sleep.started
		cancel()
		if err := <-answered; !errors.Is(err, context.Canceled) {
			t.Errorf("the canceled call gave %v", err)
		}
		sleep.canceled(t, u, id)
		wants(t, a.call(searchName, nil), false) // the connection is as good as before
	}
}

func TestClientThatIsGoneLeavesNoJob(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	sleep := newSleeper()
	tool := u.tool(sleep.run)
	s := u.server()
	for _, version := range versions {
		near, far := sdk.NewInMemoryTransports()
		if _, err := s.Connect(t.Context(), far); err != nil {
			t.Fatal(err)
		}
		wire := &cutTransport{Transport: near}
		a := dial(t, wire, version)
		answered := make(chan error, 1)
		go func() {
			_, err := a.CallTool(t.Context(), &sdk.CallToolParams{Name: tool})
			answered <- err
		}()
		id := <-sleep.started
		wire.cut()
		sleep.canceled(t, u, id)
		if err := <-answered; err == nil {
			t.Error("a call over a connection that was cut was answered")
		}
	}
}

// cutTransport is a connection that can be cut without a word.
type cutTransport struct {
	sdk.Transport
	conn sdk.Connection
}

func (c *cutTransport) Connect(ctx context.Context) (sdk.Connection, error) {
	var err error
	c.conn, err = c.Transport.Connect(ctx)
	return c.conn, err
}

func (c *cutTransport) cut() { _ = c.conn.Close() }

func TestCloseEndsCallsAndTheirJobs(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	sleep := newSleeper()
	tool := u.tool(sleep.run)
	s := u.server()
	a := s.connect(t, versions[0])
	answered := make(chan error, 1)
	go func() {
		_, err := a.CallTool(t.Context(), &sdk.CallToolParams{Name: tool})
		answered <- err
	}()
	id := <-sleep.started
	s.Close()
	if err := <-answered; err == nil || !strings.Contains(err.Error(), errClosing.Error()) || !strings.Contains(err.Error(), id) {
		t.Errorf("the call gave %v", err)
	}
	sleep.canceled(t, u, id)
	if _, err := a.CallTool(t.Context(), &sdk.CallToolParams{Name: tool}); err == nil || !strings.Contains(err.Error(), errClosing.Error()) {
		t.Errorf("a call after the end gave %v", err)
	}
}

func TestManyCallsAtOnceStayWithinTheirNumber(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	var now, most atomic.Int32
	tool := u.tool(func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for {
			old := most.Load()
			if n <= old || most.CompareAndSwap(old, n) {
				break
			}
		}
		return echo(ctx, a)
	})
	s := u.server(func(c *Config) { c.MaxCalls = 3 })
	agents := []*agent{s.connect(t, versions[0]), s.connect(t, versions[1])}
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			want := fmt.Sprintf("call-%d", i)
			r, err := agents[i%2].CallTool(t.Context(), &sdk.CallToolParams{Name: tool, Arguments: args{"args": []string{want}}})
			if err != nil {
				t.Error(err)
				return
			}
			if got := text(r); got != want {
				t.Errorf("call %d was answered %q", i, got)
			}
		})
	}
	all.Wait()
	if n := most.Load(); n > 3 || n < 1 {
		t.Errorf("%d calls ran at once, want at most 3", n)
	}
}

func TestJobsCarryLabelsAndTheTrace(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	var seen jobs.Job
	var trace string
	tool := u.tool(func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		seen = *a.Job
		return done(0, "", ""), nil
	})
	a := u.server(func(c *Config) { c.Labels, c.Priority = map[string]string{"team": "x"}, jobs.High }).connect(t, versions[1])
	const parent = "4bf92f3577b34da6a3ce929d0e0e4736"
	r, err := a.CallTool(t.Context(), &sdk.CallToolParams{Name: tool, Meta: sdk.Meta{"traceparent": "00-" + parent + "-00f067aa0ba902b7-01"}})
	if err != nil {
		t.Fatal(err)
	}
	trace, _ = r.Meta[metaResult].(map[string]any)["trace_id"].(string)
	if trace != parent {
		t.Errorf("trace %q, want the client's %q", trace, parent)
	}
	if seen.Labels["team"] != "x" || seen.Labels["via"] != "mcp" || seen.Labels["mcp-client"] != "test agent" || seen.Priority != jobs.High {
		t.Errorf("job %+v", seen)
	}
	if !strings.HasPrefix(seen.ID, "mcp-") || len(seen.ID) < 24 {
		t.Errorf("job id %q can be guessed", seen.ID)
	}
}

// callOf is a call of a tool without a schema.
func callOf(tool string, argv ...string) *sdk.CallToolParams {
	if argv == nil {
		argv = []string{}
	}
	return &sdk.CallToolParams{Name: tool, Arguments: args{"args": argv}}
}
