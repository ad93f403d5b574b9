package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"boxfleet/internal/fleet"
	"boxfleet/jobs"
)

// TestDev follows a fleet on one machine through its life: start, jobs, stop,
// start again with all that was kept.
func TestDev(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "fleet")
	p := start(t, nil, "dev", "--data", data)
	contextFile := filepath.Join(data, fleet.FileName)
	first, err := fleet.Load(contextFile)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(contextFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the context has mode %v (%v)", info.Mode(), err)
	}
	u := connect(t, contextFile)
	done := u.submit(t, t.Context(), u.job("say hello"))
	if res := u.result(t, done); res.Outcome != jobs.Succeeded || string(res.Stdout) != "hello\n" {
		t.Errorf("%s %q %s", res.Outcome, res.Stdout, res.Error)
	}
	waitFor(t, "the job is counted", func() bool { return strings.Contains(get(t, p.ready.HTTP+"/metrics"), `outcome="succeeded"`) })
	says(t, get(t, p.ready.HTTP+"/metrics"), "boxfleet_jobs", "process_open_fds", "process_resident_memory_bytes")
	says(t, get(t, p.ready.HTTP+"/readyz"), `"ready":true`)

	// Others cannot have the directory or the ports.
	says(t, fails(t, exitFailed, nil, "dev", "--data", data, "--no-current"), data, "in use", "--data")
	_, natsPort, _ := net.SplitHostPort(strings.TrimPrefix(first.NATS.URL, "nats://"))
	_, s3Port, _ := net.SplitHostPort(strings.TrimPrefix(first.S3.Endpoint, "http://"))
	other := filepath.Join(t.TempDir(), "other")
	says(t, fails(t, exitFailed, nil, "dev", "--data", other, "--nats-port", natsPort), natsPort, "--nats-port")
	says(t, fails(t, exitFailed, nil, "dev", "--data", other, "--s3-port", s3Port), s3Port, "--s3-port")
	says(t, fails(t, exitFailed, nil, "dev", "--data", other, "--http", strings.TrimPrefix(p.ready.HTTP, "http://")), "--http")

	// A running job is finished before the worker ends.
	last := u.submit(t, t.Context(), u.job("say begun sleep 1 say ended"))
	u.running(t, last)
	u.nc.Close()
	p.stop(t)
	for _, address := range []string{strings.TrimPrefix(first.NATS.URL, "nats://"), strings.TrimPrefix(first.S3.Endpoint, "http://"), strings.TrimPrefix(p.ready.HTTP, "http://")} {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			t.Errorf("something still listens on %s", address)
		}
	}
	if log := p.out.String(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "telemetry") {
		t.Errorf("the log is not quiet:\n%s", log)
	}
	says(t, p.out.String(), "hardened")

	p = start(t, nil, "dev", "--data", data)
	again, err := fleet.Load(contextFile)
	if err != nil {
		t.Fatal(err)
	}
	if again.NATS.Password != first.NATS.Password || again.S3.SecretKey != first.S3.SecretKey {
		t.Error("a restart made new credentials")
	}
	u = connect(t, contextFile)
	if res := u.result(t, done); string(res.Stdout) != "hello\n" {
		t.Errorf("after the restart the result is %q", res.Stdout)
	}
	if res := u.result(t, last); res.Outcome != jobs.Succeeded || string(res.Stdout) != "begun\nawake\nended\n" || res.Attempts != 1 {
		t.Errorf("the job that ran at the stop: %s %q, %d attempts", res.Outcome, res.Stdout, res.Attempts)
	}
	if res := u.result(t, u.submit(t, t.Context(), u.job("say again"))); res.CacheHit != "disk" {
		t.Errorf("cache hit %q after the restart", res.CacheHit)
	}

	// The second signal hurries: the job goes back and is not counted.
	long := u.submit(t, t.Context(), u.job("say begun sleep 50"))
	u.running(t, long)
	u.nc.Close()
	for range 2 {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the worker drains", func() bool { return strings.Contains(p.out.String(), "draining") })
	}
	p.ended(t)
	start(t, nil, "dev", "--data", data)
	u = connect(t, contextFile)
	u.running(t, long)
	rec, err := u.client.Get(t.Context(), long)
	if err != nil || rec.Attempt-rec.Uncounted != 1 {
		t.Errorf("record %+v, %v", rec, err)
	}
	if _, err := u.client.Cancel(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	if res := u.result(t, long); res.Outcome != jobs.Canceled || res.Attempts > 2 {
		t.Errorf("%s, %d attempts", res.Outcome, res.Attempts)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v\n%s", url, resp.Status, err, body)
	}
	return string(body)
}

// TestDataDirectory: one that cannot be made or written is named, with what to
// do about it.
func TestDataDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, fails(t, exitFailed, nil, "dev", "--data", filepath.Join(file, "data")), file, "--data")
	says(t, fails(t, exitFailed, nil, "dev", "--data", "/proc/boxfleet"), "/proc/boxfleet", "--data")
}
