package mcp

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"boxfleet/artifacts"
	"boxfleet/internal/fleet"
	"boxfleet/jobs"
)

// BenchmarkCall measures a call of the no-op tool through MCP beside the same
// job by `submit run`, turn by turn in one run, so that their ratio holds on a
// busy machine too. Warm: the module is compiled; cold: each module is new to
// the worker. mcp-start is a session of its own for the one call: a process, the
// handshake, the call.
//
//	go test -run '^$' -bench Call -benchtime 100x ./internal/mcp
func BenchmarkCall(b *testing.B) {
	data := realFleet(b, "noop")
	c, err := fleet.Load(data)
	if err != nil {
		b.Fatal(err)
	}
	nc, js, err := jobs.Connect(b.Context(), c.Conn("bench"))
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	client, err := jobs.NewClient(b.Context(), nc, js, c.Tenant)
	if err != nil {
		b.Fatal(err)
	}
	store, err := artifacts.Open(c.Store())
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	noop, err := os.ReadFile("../../toolbox/dist/noop.wasm")
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(b.Context(), Config{Client: client, Store: store, Scope: Scope{Keywords: []string{"bench", "noop"}}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	session := benchSession(b, func(t sdk.Transport) { _, err = s.Connect(b.Context(), t) })
	defer session.Close()
	through := func(cs *sdk.ClientSession, tool string) time.Duration {
		start := time.Now()
		r, err := cs.CallTool(b.Context(), &sdk.CallToolParams{Name: tool})
		if err != nil || r.IsError {
			b.Fatalf("%v %v", err, r)
		}
		return time.Since(start)
	}
	run := func(tool string) time.Duration {
		cmd := exec.Command(build(b, "submit"), "run", tool)
		cmd.Env = environment(data)
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		return time.Since(start)
	}
	// fresh registers the no-op under another digest: a custom section more.
	fresh := func() string {
		name := "b" + string(bytes.ToLower([]byte(rand.Text()[:12])))
		section := append([]byte{byte(len(name))}, name...)
		wasm := append(append(slices.Clone(noop), 0, byte(len(section))), section...)
		d, err := store.PutBlobBytes(b.Context(), wasm)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := client.Register(b.Context(), jobs.Manifest{Name: name, Version: "1", Digest: d, Size: int64(len(wasm)), Level: "none", Keywords: []string{"bench"}}); err != nil {
			b.Fatal(err)
		}
		return name
	}

	through(session, "noop")
	b.Run("warm", func(b *testing.B) {
		var mcp, cli, start []time.Duration
		for b.Loop() {
			mcp = append(mcp, through(session, "noop"))
			cli = append(cli, run("noop"))
			began := time.Now()
			own, err := sdk.NewClient(&sdk.Implementation{Name: "bench", Version: "1"}, nil).
				Connect(b.Context(), &sdk.CommandTransport{Command: submitMCP(b, data).cmd}, nil)
			if err != nil {
				b.Fatal(err)
			}
			through(own, "noop")
			start = append(start, time.Since(began))
			_ = own.Close()
		}
		report(b, mcp, cli)
		b.ReportMetric(milliseconds(start), "mcp-start-ms")
	})
	b.Run("cold", func(b *testing.B) {
		var mcp, cli []time.Duration
		for b.Loop() {
			one, two := fresh(), fresh()
			if err := s.refresh(b.Context()); err != nil {
				b.Fatal(err)
			}
			mcp = append(mcp, through(session, one))
			cli = append(cli, run(two))
		}
		report(b, mcp, cli)
	})
}

func benchSession(b *testing.B, serve func(sdk.Transport)) *sdk.ClientSession {
	near, far := sdk.NewInMemoryTransports()
	serve(far)
	cs, err := sdk.NewClient(&sdk.Implementation{Name: "bench", Version: "1"}, nil).Connect(context.WithoutCancel(b.Context()), near, nil)
	if err != nil {
		b.Fatal(err)
	}
	return cs
}

// report gives medians, and how many times as long `submit run` takes.
func report(b *testing.B, mcp, cli []time.Duration) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(milliseconds(mcp), "mcp-ms")
	b.ReportMetric(milliseconds(cli), "run-ms")
	b.ReportMetric(milliseconds(cli)/milliseconds(mcp), "run/mcp")
}

func milliseconds(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2].Microseconds()) / 1000
}
