package gate

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"boxfleet/jobs"
)

// FuzzJudge holds whatever is passed on, without a further look at the server,
// to the tenant's own subjects, and its headers to those that are known.
func FuzzJudge(f *testing.F) {
	for _, s := range []struct{ subject, header, value, data string }{
		{"jobs.acme.normal.x", "Nats-Msg-Id", "acme.x", "{}"},
		{"jobs.acme.sched.x", "Nats-Schedule-Target", "jobs.acme.normal.x", "{}"},
		{"submit.acme.cron.n", "Nats-Rollup", "sub", "{}"},
		{"members.acme.b.1", "Nats-Msg-Id", "members.acme.b.1", "{}"},
		{"$KV.batches.acme.b", "Nats-Expected-Last-Subject-Sequence", "4", "{}"},
		{"$KV.unique.schedule.acme.n", "KV-Operation", "PURGE", ""},
		{"$JS.API.DIRECT.GET.KV_status.$KV.status.acme.x", "", "", ""},
		{"$JS.API.DIRECT.GET.JOBS", "", "", `{"multi_last":["jobs.acme.*.x"],"batch":3}`},
		{"$JS.API.STREAM.PURGE.JOBS", "", "", `{"filter":"jobs.acme.*.x"}`},
		{"$JS.API.CONSUMER.CREATE.KV_status.c.$KV.status.acme.*", "", "", `{"stream_name":"KV_status","config":{"filter_subject":"$KV.status.acme.*","ack_policy":"none","deliver_policy":"all","replay_policy":"instant","num_replicas":0,"deliver_subject":"inbox.acme.ci.d"}}`},
		{"wake.acme.normal", "", "", ""},
	} {
		f.Add(s.subject, s.header, s.value, s.data)
	}
	known := map[string]bool{
		"Nats-Msg-Id": true, headerSchedule: true, headerScheduleTarget: true, headerScheduleZone: true, headerScheduleRollup: true, headerRollup: true,
		headerTTL: true, headerKVOperation: true, "Nats-Expected-Last-Subject-Sequence": true, "traceparent": true, "tracestate": true, "baggage": true,
	}
	f.Fuzz(func(t *testing.T, subject, header, value, data string) {
		r := &request{who: jobs.Identity{Tenant: "acme", User: "ci"}, subject: subject, tokens: strings.Split(subject, "."), data: []byte(data)}
		if header != "" {
			r.header = nats.Header{header: {value}}
		}
		act, err := (&Gate{}).judge(r)
		if err != nil || act.ask != nil {
			return
		}
		out := act.out.Subject
		own := strings.HasPrefix(out, "jobs.acme.") || strings.HasPrefix(out, "submit.acme.") || strings.HasPrefix(out, "members.acme.") ||
			strings.HasPrefix(out, "wake.acme.") || strings.HasPrefix(out, "done.acme.") || strings.HasPrefix(out, "ctl.cancel.acme.") ||
			strings.HasPrefix(out, "$KV.batches.acme.") || strings.HasPrefix(out, "$KV.unique.acme.") || strings.HasPrefix(out, "$KV.unique.schedule.acme.")
		if !own {
			api := false
			for _, p := range []string{"$JS.API.DIRECT.GET.", "$JS.API.STREAM.MSG.GET.", "$JS.API.CONSUMER.CREATE.", "$JS.API.CONSUMER.INFO.JOBS.q-acme-", "$JS.API.STREAM.PURGE.JOBS"} {
				api = api || strings.HasPrefix(out, p)
			}
			if !api {
				t.Fatalf("%q is passed on as %q", subject, out)
			}
		}
		if body := string(act.out.Data); strings.Contains(out, "$JS.API") && (strings.Contains(body, "beta") || strings.Contains(body, `".`)) {
			t.Fatalf("%q with %q is passed on as %q with %q", subject, data, out, body)
		}
		if strings.ContainsAny(out, " \t\r\n") {
			t.Fatalf("%q is no subject", out)
		}
		for name, values := range act.out.Header {
			if !known[name] || len(values) != 1 || name == headerRollup && values[0] != "sub" {
				t.Fatalf("header %q: %q is passed on", name, values)
			}
		}
	})
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		filter, pattern string
		want            bool
	}{
		{"a.b", "a.b", true}, {"a.b", "a.*", true}, {"a.*", "a.*", true}, {"a.b.c", "a.>", true}, {"a.*.>", "a.>", true}, {"a.>", "a.>", true},
		{"a", "a.>", false}, {"a.>", "a.*", false}, {"*.b", "a.b", false}, {">", "a.>", false}, {"a.b.c", "a.*", false}, {"a", "a.*", false},
		{"a..b", "a.>", false}, {"a.", "a.>", false}, {"a.b ", "a.>", false}, {"a.>.b", "a.>", false}, {"a.b*", "a.>", false}, {"", ">", false},
	} {
		if got := within(c.filter, c.pattern); got != c.want {
			t.Errorf("within(%q, %q) = %v", c.filter, c.pattern, got)
		}
	}
}
