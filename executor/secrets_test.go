package executor_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"boxfleet/executor"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// TestSecrets runs jobs that are given a secret and end in every way, then
// looks for its value in all that leaves the worker: messages, records, logs,
// spans, metrics, objects. A guest that prints the secret itself is the one
// exception: that is its output, and the last job here shows that the search
// would find it.
func TestSecrets(t *testing.T) {
	const secret = "hunter2-VERY-secret-value"
	r := newRig(t, options{config: func(c *executor.Config) {
		c.Secrets = map[string]string{"db/password": secret, "nul": secret + "\x00"}
	}})
	var live bytes.Buffer // core NATS, which no stream keeps
	heard := make(chan struct{})
	sub, err := r.nc.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(heard)
		for {
			m, err := sub.NextMsgWithContext(context.Background())
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(&live, "%s %v %s\n", m.Subject, m.Header, m.Data)
		}
	}()
	env := map[string]string{"TOKEN": "secret://db/password"}
	for _, c := range []struct {
		words   string
		options limits.RunOption
		outcome jobs.Outcome
	}{
		{"len TOKEN", limits.RunOption{}, jobs.Succeeded},
		{"len TOKEN exit 3", limits.RunOption{}, jobs.Exited},
		{"len TOKEN trap", limits.RunOption{}, jobs.Trapped},
		{"len TOKEN sleep 100", limits.RunOption{WasmTimeout: limits.Duration(100 * time.Millisecond)}, jobs.TimedOut},
		{"len TOKEN spin", limits.RunOption{WasmFuel: 1e6}, jobs.OutOfFuel},
		{"len TOKEN recurse 500", limits.RunOption{WasmMaxWasmStack: 16 * limits.KiB}, jobs.StackOverflow},
		{"len TOKEN stdout 5000", limits.RunOption{MaxStdout: 100}, jobs.OutputLimit},
		{"len TOKEN write f x", limits.RunOption{WorkDir: &limits.Mount{Mode: limits.ReadWrite}}, jobs.Succeeded},
		{"len TOKEN", limits.RunOption{WorkDir: &limits.Mount{Source: "s3://" + r.store.Bucket() + "/inputs/default/none/"}}, jobs.Invalid},
		{"len TOKEN", limits.RunOption{WasmFuel: 1 << 60}, jobs.Denied},
	} {
		c.options.EnvVars = env
		want{outcome: c.outcome, exit: 3}.check(t, r.run(t, r.act(t, c.words, c.options)))
	}
	// Names and values that the host refuses must not be quoted in the refusal.
	bad := r.act(t, "len TOKEN", limits.RunOption{EnvVars: map[string]string{"TOKEN": "secret://nul"}})
	want{outcome: jobs.Invalid, err: []string{"NUL"}}.check(t, r.run(t, bad))
	unknown := r.act(t, "len TOKEN", limits.RunOption{EnvVars: map[string]string{"TOKEN": "secret://db/passwor"}})
	want{outcome: jobs.Denied}.check(t, r.run(t, unknown))

	everywhere := func() map[string]string {
		all := map[string]string{"logs": r.logs.String(), "spans": fmt.Sprintf("%+v", spans.GetSpans())}
		var rm metricdata.ResourceMetrics
		if err := metrics.Collect(t.Context(), &rm); err != nil {
			t.Fatal(err)
		}
		all["metrics"] = fmt.Sprintf("%+v", rm)
		streams := r.js.ListStreams(t.Context())
		for info := range streams.Info() {
			stream, err := r.js.Stream(t.Context(), info.Config.Name)
			if err != nil {
				t.Fatal(err)
			}
			for seq := info.State.FirstSeq; seq > 0 && seq <= info.State.LastSeq; seq++ {
				m, err := stream.GetMsg(t.Context(), seq)
				if err == nil {
					all["stream "+info.Config.Name] += fmt.Sprintf("%s %v %s\n", m.Subject, m.Header, m.Data)
				}
			}
		}
		if err := streams.Err(); err != nil {
			t.Fatal(err)
		}
		for obj, err := range r.store.List(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
			data, err := r.store.Get(t.Context(), "", obj.Key, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			all["object "+obj.Key] = obj.Key + string(data)
		}
		return all
	}
	forms := []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))[:28], hex.EncodeToString([]byte(secret))}
	leaks := func(all map[string]string) (found []string) {
		for where, text := range all {
			for _, form := range forms {
				if strings.Contains(text, form) {
					found = append(found, where)
				}
			}
		}
		return found
	}
	all := everywhere()
	if _, ok := all["stream KV_status"]; !ok || len(all) < 8 || len(spans.GetSpans()) == 0 {
		t.Fatalf("the search looks at too little: %d places", len(all))
	}
	if found := leaks(all); len(found) > 0 {
		t.Errorf("the secret is in %q", found)
	}
	if err := r.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := sub.Drain(); err != nil {
		t.Fatal(err)
	}
	<-heard
	if live.Len() == 0 {
		t.Error("nothing was heard on NATS")
	}
	if found := leaks(map[string]string{"core NATS": live.String()}); len(found) > 0 {
		t.Errorf("the secret is in %q", found)
	}
	// The search does find what is there.
	want{outcome: jobs.Succeeded, stdout: "TOKEN=" + secret + "\n"}.check(t, r.run(t, r.act(t, "env", limits.RunOption{EnvVars: env})))
	if found := leaks(everywhere()); len(found) != 1 || found[0] != "stream KV_status" {
		t.Errorf("printed by its guest, the secret is in %q", found)
	}
}
