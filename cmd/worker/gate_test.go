package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"boxfleet/internal/fleetauth"
	"boxfleet/internal/fleetauth/authtest"
	"boxfleet/jobs"
)

// TestGate: a gate of its own process, confined, lets a tenant's user submit to
// a fleet that has no worker at all, and ends at a signal.
func TestGate(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s := authtest.Start(t)
	_, opJS := s.Connect(t, fleetauth.Grant{Role: fleetauth.Operator, User: "op"})
	if err := (jobs.Topology{}).Ensure(ctx, opJS); err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(t.TempDir(), "ready.json")
	cmd := command(t, []string{"BOXFLEET_NATS_CREDS=" + s.Identity(t, fleetauth.Grant{Role: fleetauth.Gate, User: "g"})},
		"gate", "--nats", s.URL(), "--nats-ca", s.CA, "--ready-file", ready)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	var side struct {
		HTTP string `json:"http"`
	}
	for ctx.Err() == nil {
		if data, err := os.ReadFile(ready); err == nil && json.Unmarshal(data, &side) == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if !strings.HasPrefix(side.HTTP, "http://127.0.0.1:") {
		t.Fatalf("its http side is %q; want loopback\n%s", side.HTTP, log.String())
	}

	nc, js := s.Connect(t, fleetauth.Grant{Role: fleetauth.Submitter, Tenant: "acme", User: "ci"})
	acme, err := jobs.NewClient(ctx, nc, js, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := acme.Submit(ctx, &jobs.Job{ID: "one", Tool: jobs.Tool{Name: "t", Digest: "sha256:" + digest64, Size: 1}}); err != nil {
		t.Fatalf("submit: %v\n%s", err, log.String())
	}
	if rec, err := acme.Get(ctx, "one"); err != nil || rec.State != jobs.Queued {
		t.Errorf("the job: %+v, %v", rec, err)
	}
	get := func(path string) (int, string) {
		resp, err := http.Get(side.HTTP + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if code, body := get("/readyz"); code != http.StatusOK || !strings.Contains(body, `"ready":true`) {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if _, body := get("/metrics"); !strings.Contains(body, `boxfleet_gate_requests_total{result="passed"}`) {
		t.Errorf("/metrics: %s", body)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v\n%s", err, log.String())
	}

	// Others' credentials make no gate.
	cmd = command(t, []string{"BOXFLEET_NATS_CREDS=" + s.Identity(t, fleetauth.Grant{Role: fleetauth.Submitter, Tenant: "acme", User: "ci"})},
		"gate", "--nats", s.URL(), "--nats-ca", s.CA, "--http", "")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "credentials of a gate") {
		t.Errorf("a submitter's credentials gave %v: %s", err, out)
	}
}

const digest64 = "abababababababababababababababababababababababababababababababab"

// TestProfilesOnLoopbackOnly: profiles show memory, so they are for who is on
// the machine.
func TestProfilesOnLoopbackOnly(t *testing.T) {
	for addr, want := range map[string]int{"127.0.0.1:0": http.StatusOK, "0.0.0.0:0": http.StatusNotFound, "[::1]:0": http.StatusOK} {
		h, err := listenHTTP(addr, nil)
		if err != nil {
			if strings.HasPrefix(addr, "[") && (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)) {
				continue // a machine without IPv6
			}
			t.Fatal(err)
		}
		port := h.addr.String()[strings.LastIndexByte(h.addr.String(), ':')+1:]
		host := "127.0.0.1"
		if strings.HasPrefix(addr, "[::1]") {
			host = "[::1]"
		}
		for path, want := range map[string]int{"/debug/pprof/": want, "/debug/pprof/heap": want, "/debug/pprof/cmdline": http.StatusNotFound, "/healthz": http.StatusOK} {
			resp, err := http.Get("http://" + host + ":" + port + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s on %s: %d; want %d", path, addr, resp.StatusCode, want)
			}
		}
		h.close()
	}
}
