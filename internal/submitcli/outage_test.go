package submitcli_test

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"boxfleet/internal/faultproxy"
	"boxfleet/internal/fleet"
	"boxfleet/jobs"
)

// throughProxy gives a context file whose queue is behind a proxy.
func throughProxy(t *testing.T) (*faultproxy.TCP, string) {
	t.Helper()
	proxy, err := faultproxy.StartTCP(strings.TrimPrefix(queue.ClientURL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := s3.Config("submitcli")
	c := fleet.Context{
		NATS: fleet.NATS{URL: "nats://" + proxy.Addr(), User: natsUser, Password: natsPassword},
		S3:   fleet.S3{Endpoint: cfg.Endpoint, AccessKey: cfg.AccessKey, SecretKey: string(cfg.SecretKey), Bucket: cfg.Bucket},
	}
	path, err := c.Save(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return proxy, path
}

// TestBatchOutlivesItsConnection cuts the connection again and again while a
// batch is submitted and runs.
func TestBatchOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	proxy, path := throughProxy(t)
	const n = 2400
	started := make(chan struct{}, n)
	tool := u.tool(func(context.Context, *jobs.Attempt) (*jobs.Result, error) {
		started <- struct{}{}
		return done(0, "x", ""), nil
	})
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"tool":"TOOL","args":["%d"]}`, i))
	}
	go func() {
		for _, at := range []int{1, 600, 600, 600} {
			for range at {
				<-started
			}
			proxy.Cut()
		}
	}()
	results := filepath.Join(t.TempDir(), "r")
	got := call(t.Context(), strings.NewReader(""), "--context", path, "--tenant", u.tenant, "batch", batchFile(t, tool, lines...), "--results", results)
	if got.code != 0 {
		t.Fatalf("%+v", got)
	}
	all := resultLines(t, results)
	if len(all) != n {
		t.Errorf("%d results of %d", len(all), n)
	}
	for line, r := range all {
		if runs := u.runs(r.ID); runs != 1 {
			t.Errorf("line %d ran %d times", line, runs)
		}
	}
}

// TestRunOutlivesItsConnection cuts the connection while a job writes: what
// was not heard comes from the result.
func TestRunOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	proxy, path := throughProxy(t)
	tool := u.tool(func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		a.Log("stdout", 0, []byte("first "))
		if err := main.nc.Flush(); err != nil {
			return nil, err
		}
		proxy.Cut()
		a.Log("stdout", 6, []byte("second "))
		return done(0, "first second third\n", ""), nil
	})
	got := call(t.Context(), strings.NewReader(""), "--context", path, "--tenant", u.tenant, "run", tool)
	if got.code != 0 || got.out != "first second third\n" {
		t.Errorf("%+v", got)
	}
}

// TestTwoClientsWithOneBatch lets two programs submit the same file at once.
func TestTwoClientsWithOneBatch(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	var lines []string
	for i := range 500 {
		lines = append(lines, fmt.Sprintf(`{"tool":"TOOL","args":["%d"]}`, i))
	}
	path, dir := batchFile(t, tool, lines...), t.TempDir()
	var both sync.WaitGroup
	for i := range 2 {
		both.Go(func() {
			if got := u.submit("batch", path, "--results", filepath.Join(dir, fmt.Sprint(i))); got.code != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
	both.Wait()
	for i := range 2 {
		all := resultLines(t, filepath.Join(dir, fmt.Sprint(i)))
		if len(all) != len(lines) {
			t.Errorf("%d results of %d", len(all), len(lines))
		}
		for _, r := range all {
			if runs := u.runs(r.ID); runs != 1 {
				t.Errorf("job %s ran %d times", r.ID, runs)
			}
		}
	}
}

// TestInterruptedWhileReading ends programs whose standard input never comes.
func TestInterruptedWhileReading(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	for _, args := range [][]string{{"batch", "-"}, {"run", tool, "--stdin", "-"}} {
		in, never := io.Pipe()
		ctx, interrupt := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, interrupt)
		u.submitIn(ctx, in, args...).want(t, 130, "", "interrupted")
		if err := never.Close(); err != nil {
			t.Error(err)
		}
	}
}
