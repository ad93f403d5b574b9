package gate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/internal/fleetauth"
	"boxfleet/internal/fleetauth/authtest"
	"boxfleet/jobs"
)

// hostile is one request of acme's user that aims at beta.
type hostile struct {
	name    string
	subject string // after the gate's prefix, unless raw
	header  nats.Header
	payload any // JSON, or a []byte as it is
	reply   string
	raw     bool // published to subject itself
}

func (h hostile) data() []byte {
	switch p := h.payload.(type) {
	case nil:
		return nil
	case []byte:
		return p
	default:
		return mustJSON(p)
	}
}

const acmeGate = "gate.acme.mallory."

// mallorys are the requests that must not work, whatever they are answered.
func mallorys(secretSeq, deadSeq uint64) []hostile {
	evil := mustJSON(map[string]any{"v": 1, "id": "victim", "tenant": "beta", "priority": "normal", "tool": testTool})
	done := mustJSON(jobs.Record{State: jobs.Done, V: 1, ID: "victim", Tenant: "beta", Result: &jobs.Result{ID: "victim", Outcome: jobs.Succeeded}})
	forged := mustJSON(jobs.Record{State: jobs.Done, V: 1, ID: "mine", Tenant: "acme", Result: &jobs.Result{ID: "mine", Outcome: jobs.Succeeded, Stdout: jobs.Text("forged")}})
	consumer := func(config map[string]any) map[string]any {
		for k, v := range map[string]any{"name": "spy", "deliver_policy": "all", "ack_policy": "none", "replay_policy": "instant", "num_replicas": 0} {
			if _, ok := config[k]; !ok {
				config[k] = v
			}
		}
		return map[string]any{"stream_name": "KV_status", "config": config}
	}
	list := []hostile{
		// Past the gate.
		{name: "publish a job directly", subject: "jobs.beta.normal.victim", payload: evil, raw: true},
		{name: "publish an own job directly", subject: "jobs.acme.normal.victim", payload: evil, raw: true},
		{name: "write a record directly", subject: "$KV.status.beta.victim", payload: done, raw: true},
		{name: "read directly", subject: "$JS.API.DIRECT.GET.KV_status.$KV.status.beta.secret", raw: true, reply: "inbox.acme.mallory.x"},
		{name: "read through another's gate", subject: "gate.beta.ci.$JS.API.DIRECT.GET.KV_status.$KV.status.beta.secret", raw: true, reply: "inbox.acme.mallory.x"},
		{name: "read as another user of the tenant", subject: "gate.acme.ci.$JS.API.STREAM.INFO.JOBS", raw: true, reply: "inbox.acme.mallory.x"},
		{name: "trace to another subject", subject: acmeGate + "wake.acme.normal", raw: true, header: nats.Header{"Nats-Trace-Dest": {"jobs.beta.normal.victim"}}},
		{name: "end a worker's connection", subject: "$SYS.REQ.SERVER.PING.CONNZ", raw: true, reply: "inbox.acme.mallory.x"},

		// Another tenant's subjects.
		{name: "another's job", subject: "jobs.beta.normal.victim", payload: evil},
		{name: "another's array", subject: "submit.beta.array.victim", payload: evil},
		{name: "another's schedule", subject: "submit.beta.cron.victim", payload: evil},
		{name: "a forged firing", subject: "submit.acme.fire.victim", payload: evil},
		{name: "another's members", subject: "members.beta.batch.1-0-1", payload: evil},
		{name: "another's record", subject: "$KV.status.beta.victim", payload: done, header: nats.Header{"Nats-Expected-Last-Subject-Sequence": {"0"}}},
		{name: "another's record, by the library's prefix", subject: "$JS.API.$KV.status.beta.victim", payload: done},
		{name: "another's cancel", subject: "ctl.cancel.beta.secret"},
		{name: "another's wake", subject: "wake.beta.normal"},
		{name: "another's done", subject: "done.beta._.victim", payload: done},
		{name: "another's batch", subject: "$KV.batches.beta.b", payload: []byte("{}")},
		{name: "another's idempotency key", subject: "$KV.unique.beta.k", payload: []byte("{}")},
		{name: "another's schedule's last run", subject: "$KV.unique.schedule.beta.nightly", payload: []byte("x")},
		{name: "another's key", subject: "$KV.keys.beta.k_00112233445566778899", payload: []byte("{}")},
		{name: "own weight", subject: "$KV.tenants.acme", payload: []byte(`{"weight":1000}`)},
		{name: "own places", subject: "$KV.places.acme", payload: []byte(`{}`)},
		{name: "a tool", subject: "$KV.tools.jq/1.0.0", payload: []byte(`{}`)},
		{name: "a lease", subject: "$KV.leases.coordinator", payload: []byte(`x`)},
		{name: "a worker", subject: "$KV.workers.w1", payload: []byte(`x`)},
		{name: "an event", subject: "events.acme.audit.mallory", payload: []byte(`{}`)},
		{name: "a dead letter", subject: "dlq.acme.t.j", payload: []byte(`{}`)},

		// An own subject whose header or reply does something to others.
		{name: "answer to another's job", subject: "$JS.API.DIRECT.GET.KV_tools.$KV.tools.x", reply: "jobs.beta.normal.victim"},
		{name: "answer to another's record", subject: "$JS.API.STREAM.INFO.JOBS", reply: "$KV.status.beta.victim"},
		{name: "answer to another's inbox", subject: "$JS.API.STREAM.INFO.JOBS", reply: "inbox.beta.ci.x"},
		{name: "answer to many inboxes", subject: "$JS.API.STREAM.INFO.JOBS", reply: "inbox.acme.mallory.>"},
		{name: "refusal to another's job", subject: "no.such.thing", reply: "jobs.beta.normal.victim"},
		{name: "schedule with another's target", subject: "jobs.acme.sched.mine", payload: evil, header: nats.Header{
			"Nats-Schedule": {"@at " + time.Now().UTC().Format(time.RFC3339)}, "Nats-Schedule-Target": {"jobs.beta.normal.victim"}}},
		{name: "schedule with another's source", subject: "jobs.acme.sched.mine", payload: evil, header: nats.Header{
			"Nats-Schedule": {"@at " + time.Now().UTC().Format(time.RFC3339)}, "Nats-Schedule-Target": {"jobs.acme.normal.mine"}, "Nats-Schedule-Source": {"jobs.beta.sched.hidden"}}},
		{name: "cron with another's target", subject: "submit.acme.cron.mine", payload: evil, header: nats.Header{
			"Nats-Schedule": {"@every 1s"}, "Nats-Schedule-Target": {"submit.beta.fire.victim"}}},
		{name: "empty the queue", subject: "submit.acme.cron.mine", payload: evil, header: nats.Header{"Nats-Rollup": {"all"}}},
		{name: "empty a bucket", subject: "$KV.unique.acme.mine", header: nats.Header{"Nats-Rollup": {"all"}, "KV-Operation": {"PURGE"}}},
		{name: "empty a bucket, said twice", subject: "$KV.unique.acme.mine", header: nats.Header{"Nats-Rollup": {"sub", "all"}, "KV-Operation": {"PURGE"}}},
		{name: "take another's message id", subject: "jobs.acme.normal.mine", payload: evil, header: nats.Header{"Nats-Msg-Id": {"beta.victim"}}},
		{name: "take another's array's id", subject: "submit.acme.array.mine", payload: evil, header: nats.Header{"Nats-Msg-Id": {"array.beta.a.f"}}},
		{name: "probe another's subject", subject: "$KV.batches.acme.b", payload: []byte("{}"), header: nats.Header{
			"Nats-Expected-Last-Subject-Sequence": {"0"}, "Nats-Expected-Last-Subject-Sequence-Subject": {"$KV.batches.beta.b"}}},
		{name: "an atomic batch", subject: "jobs.acme.normal.mine", payload: evil, header: nats.Header{"Nats-Batch-Id": {"b"}, "Nats-Batch-Sequence": {"1"}}},

		// Results are workers' to write.
		{name: "forge an own result", subject: "$KV.status.acme.mine", payload: forged, header: nats.Header{"Nats-Expected-Last-Subject-Sequence": {"0"}}},
		{name: "overwrite an own record", subject: "$KV.status.acme.mine", payload: forged},
		{name: "remove an own record", subject: "$KV.status.acme.mine", header: nats.Header{"KV-Operation": {"PURGE"}, "Nats-Rollup": {"sub"}}},

		// Reads.
		{name: "another's record", subject: "$JS.API.DIRECT.GET.KV_status.$KV.status.beta.secret"},
		{name: "everybody's records", subject: "$JS.API.DIRECT.GET.KV_status.$KV.status.>"},
		{name: "a record by number", subject: "$JS.API.DIRECT.GET.KV_status", payload: map[string]any{"seq": secretSeq}},
		{name: "a record from the leader by number", subject: "$JS.API.STREAM.MSG.GET.KV_status", payload: map[string]any{"seq": secretSeq}},
		{name: "records from a number on", subject: "$JS.API.DIRECT.GET.KV_status", payload: map[string]any{"seq": 1, "batch": 100}},
		{name: "another's record in a list", subject: "$JS.API.DIRECT.GET.KV_status", payload: map[string]any{"multi_last": []string{"$KV.status.acme.x", "$KV.status.beta.secret"}}},
		{name: "next of everybody", subject: "$JS.API.DIRECT.GET.KV_status", payload: map[string]any{"next_by_subj": "$KV.status.*.*", "seq": 1}},
		{name: "two answers to one question", subject: "$JS.API.DIRECT.GET.KV_status", payload: []byte(`{"next_by_subj":"$KV.status.acme.*","next_by_subj":"$KV.status.beta.*"}`)},
		{name: "letters in another case", subject: "$JS.API.DIRECT.GET.KV_status", payload: []byte(`{"next_by_subj":"$KV.status.acme.*","NEXT_BY_SUBJ":"$KV.status.beta.*"}`)},
		{name: "payload under a subject", subject: "$JS.API.DIRECT.GET.KV_status.$KV.status.acme.x", payload: map[string]any{"last_by_subj": "$KV.status.beta.secret"}},
		{name: "another's queue", subject: "$JS.API.DIRECT.GET.JOBS.jobs.beta.*.hidden"},
		{name: "another's output", subject: "$JS.API.DIRECT.GET.EVENTS.events.beta.secret.log"},
		{name: "another's dead letter", subject: "$JS.API.DIRECT.GET.DLQ", payload: map[string]any{"seq": deadSeq}},
		{name: "another's key", subject: "$JS.API.DIRECT.GET.KV_unique.$KV.unique.beta.*"},
		{name: "the advisories", subject: "$JS.API.DIRECT.GET.ADVISORIES", payload: map[string]any{"next_by_subj": ">"}},
		{name: "subjects of others", subject: "$JS.API.STREAM.INFO.JOBS", payload: map[string]any{"subjects_filter": "jobs.beta.*.*"}},
		{name: "all subjects", subject: "$JS.API.STREAM.INFO.KV_status", payload: map[string]any{"subjects_filter": ">"}},
		{name: "all streams", subject: "$JS.API.STREAM.NAMES"},
		{name: "the account", subject: "$JS.API.INFO"},
		{name: "all consumers", subject: "$JS.API.CONSUMER.NAMES.JOBS"},
		{name: "a snapshot", subject: "$JS.API.STREAM.SNAPSHOT.KV_status", payload: map[string]any{"deliver_subject": "inbox.acme.mallory.s"}},
		{name: "another's queue's state", subject: "$JS.API.CONSUMER.INFO.JOBS.q-beta-normal"},
		{name: "a queue that looks like one's own", subject: "$JS.API.CONSUMER.INFO.JOBS.q-acme-x-normal"},

		// Consumers.
		{name: "a consumer of everything", subject: "$JS.API.CONSUMER.CREATE.KV_status.spy", payload: consumer(map[string]any{"deliver_subject": "inbox.acme.mallory.d"})},
		{name: "a consumer of another's", subject: "$JS.API.CONSUMER.CREATE.KV_status.spy.$KV.status.beta.*", payload: consumer(map[string]any{"filter_subject": "$KV.status.beta.*", "deliver_subject": "inbox.acme.mallory.d"})},
		{name: "filters that differ", subject: "$JS.API.CONSUMER.CREATE.KV_status.spy.$KV.status.acme.*", payload: consumer(map[string]any{"filter_subject": "$KV.status.beta.*", "deliver_subject": "inbox.acme.mallory.d"})},
		{name: "one filter of two", subject: "$JS.API.CONSUMER.CREATE.KV_status.spy", payload: consumer(map[string]any{"filter_subjects": []string{"$KV.status.acme.*", "$KV.status.beta.*"}})},
		{name: "deliver into another's queue", subject: "$JS.API.CONSUMER.CREATE.KV_status.spy.$KV.status.acme.*", payload: consumer(map[string]any{"filter_subject": "$KV.status.acme.*", "deliver_subject": "jobs.beta.normal.victim"})},
		{name: "deliver into another's record", subject: "$JS.API.CONSUMER.CREATE.KV_status.spy.$KV.status.acme.*", payload: consumer(map[string]any{"filter_subject": "$KV.status.acme.*", "deliver_subject": "$KV.status.beta.victim"})},
		{name: "a durable consumer", subject: "$JS.API.CONSUMER.DURABLE.CREATE.KV_status.spy", payload: consumer(map[string]any{"durable_name": "spy", "filter_subject": "$KV.status.acme.*"})},
		{name: "republish by metadata and unknown fields", subject: "$JS.API.CONSUMER.CREATE.KV_status.spy", payload: consumer(map[string]any{"filter_subject": "$KV.status.acme.*", "direct": true})},
		{name: "another's queue", subject: "$JS.API.CONSUMER.CREATE.JOBS.q-beta-low.jobs.beta.low.*", payload: map[string]any{"stream_name": "JOBS", "config": map[string]any{"durable_name": "q-beta-low", "filter_subject": "jobs.beta.low.*", "ack_policy": "explicit"}}},
		{name: "pull jobs", subject: "$JS.API.CONSUMER.MSG.NEXT.JOBS.q-acme-normal", payload: map[string]any{"batch": 1}},
		{name: "remove a queue", subject: "$JS.API.CONSUMER.DELETE.JOBS.q-beta-normal"},
		{name: "remove an own queue", subject: "$JS.API.CONSUMER.DELETE.JOBS.q-acme-normal"},
		{name: "remove what makes jobs of schedules", subject: "$JS.API.CONSUMER.DELETE.JOBS.expand"},

		// Destruction.
		{name: "purge the queue", subject: "$JS.API.STREAM.PURGE.JOBS"},
		{name: "purge another's queue", subject: "$JS.API.STREAM.PURGE.JOBS", payload: map[string]any{"filter": "jobs.beta.*.*"}},
		{name: "purge by wildcard", subject: "$JS.API.STREAM.PURGE.JOBS", payload: map[string]any{"filter": "jobs.*.*.*"}},
		{name: "purge records", subject: "$JS.API.STREAM.PURGE.KV_status", payload: map[string]any{"filter": "$KV.status.acme.*"}},
		{name: "remove a stream", subject: "$JS.API.STREAM.DELETE.JOBS"},
		{name: "change a stream", subject: "$JS.API.STREAM.UPDATE.JOBS", payload: map[string]any{"name": "JOBS"}},
		{name: "make a stream", subject: "$JS.API.STREAM.CREATE.SPY", payload: map[string]any{"name": "SPY", "subjects": []string{"done.>"}}},
		{name: "remove another's dead letter", subject: "$JS.API.STREAM.MSG.DELETE.DLQ", payload: map[string]any{"seq": deadSeq}},
		{name: "remove a message of the queue", subject: "$JS.API.STREAM.MSG.DELETE.JOBS", payload: map[string]any{"seq": 1}},
		{name: "step a leader down", subject: "$JS.API.STREAM.LEADER.STEPDOWN.JOBS"},

		// Not requests at all.
		{name: "no JSON", subject: "$JS.API.DIRECT.GET.KV_status", payload: []byte("{{{{")},
		{name: "two documents", subject: "$JS.API.DIRECT.GET.KV_status", payload: []byte(`{"next_by_subj":"$KV.status.acme.*"}{"seq":1}`)},
		{name: "a very long subject", subject: "jobs.acme.normal." + strings.Repeat("x", 4000)},
	}
	return list
}

// TestHostileRequests: beta has a finished job, a waiting one, a dead letter
// and a schedule; mallory of acme tries everything on them.
func TestHostileRequests(t *testing.T) {
	r := newRig(t)
	beta, _ := r.tenant("beta", "ci")
	r.submit(beta, job("secret"))
	r.wait(beta, "secret")
	hidden := job("hidden")
	hidden.RunAt = time.Now().Add(24 * time.Hour)
	r.submit(beta, hidden)
	r.when("dies", func(context.Context, *jobs.Attempt) (*jobs.Result, error) {
		return nil, jobs.Permanent(errors.New("no"))
	})
	r.submit(beta, job("dies"))
	r.wait(beta, "dies")
	acme, _ := r.tenant("acme", "mallory")
	r.submit(acme, job("own"))
	r.wait(acme, "own")

	op, opJS := r.operator()
	before := r.census(op, opJS)
	status, err := opJS.KeyValue(r.ctx, jobs.BucketStatus)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := status.Get(r.ctx, "beta.secret")
	if err != nil {
		t.Fatal(err)
	}

	// A connection of its own, which tells what comes back.
	nc, err := nats.Connect(r.URL(), nats.RootCAs(r.CA), nats.UserCredentials(r.Identity(t, fleetauth.Grant{Role: fleetauth.Submitter, Tenant: "acme", User: "mallory"})),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), nats.PermissionErrOnSubscribe(true))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	inbox, err := nc.SubscribeSync("inbox.acme.mallory.>")
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range mallorys(entry.Revision(), 1) {
		_, refusedBefore := r.gate.Counts()
		m := &nats.Msg{Subject: acmeGate + h.subject, Header: h.header, Data: h.data(), Reply: h.reply}
		if h.raw {
			m.Subject = h.subject
		}
		mine := fmt.Sprintf("inbox.acme.mallory.%d", i)
		if m.Reply == "" && !strings.HasPrefix(h.subject, "wake.") {
			m.Reply = mine
		}
		if err := nc.PublishMsg(m); err != nil {
			t.Fatalf("%s: %v", h.name, err)
		}
		if err := nc.FlushTimeout(10 * time.Second); err != nil {
			t.Fatal(err)
		}
		if h.raw { // the server refuses it; nothing may come back
			continue
		}
		r.eventually(h.name+": it is refused", func() error {
			if _, refused := r.gate.Counts(); refused != refusedBefore+1 {
				return fmt.Errorf("%d refusals more", refused-refusedBefore)
			}
			return nil
		})
		if m.Reply != mine {
			continue
		}
		answer, err := inbox.NextMsg(10 * time.Second)
		if err != nil {
			t.Errorf("%s: no answer: %v", h.name, err)
			continue
		}
		var body struct {
			Error *jetstream.APIError `json:"error"`
		}
		refused := answer.Header.Get("Status") == "403" && answer.Header.Get("Description") != ""
		if strings.Contains(m.Subject, ".$JS.API.DIRECT.GET.") { // libraries take a payload for a message
			refused = refused && len(answer.Data) == 0
		} else {
			refused = refused && json.Unmarshal(answer.Data, &body) == nil && body.Error != nil && body.Error.Code == 403
		}
		if answer.Subject != mine || !refused {
			t.Errorf("%s: answered %v %s on %s; want a refusal", h.name, answer.Header, answer.Data, answer.Subject)
		}
	}
	// What the server itself answers comes before this.
	if err := nc.FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if n, _, err := inbox.Pending(); err != nil || n != 0 {
		m, _ := inbox.NextMsg(time.Second)
		t.Errorf("%d messages came back unasked (%v); the first: %+v", n, err, m)
	}
	if after := r.census(op, opJS); after != before {
		t.Errorf("the fleet holds\n%s\nand held before\n%s", after, before)
	}
	if rec, err := beta.Get(r.ctx, "hidden"); err != nil || rec.State != jobs.Scheduled {
		t.Errorf("beta's waiting job: %+v, %v", rec, err)
	}

	// Nothing of beta's can be listened to.
	for _, subject := range []string{">", "inbox.>", "inbox.beta.ci.>", "inbox.acme.ci.>", "_INBOX.>", "done.beta.>", "done.>", "events.beta.>", "jobs.beta.>", "jobs.*.*.*", "wake.>", "gate.>", "gate.acme.mallory.>", "$KV.status.>", "$JS.API.>", "$SYS.>", "ctl.cancel.>"} {
		sub, err := nc.SubscribeSync(subject)
		if err == nil {
			if err = nc.FlushTimeout(10 * time.Second); err == nil {
				_, err = sub.NextMsg(20 * time.Millisecond)
			}
		}
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("listening to %s gave %v; want a permission violation", subject, err)
		}
	}
	r.auditSays(acme)
}

// census is what the fleet holds, but for what comes by itself: presence,
// leases, and events, among them those of refusals.
func (r *rig) census(nc *nats.Conn, js jetstream.JetStream) string {
	r.t.Helper()
	var b strings.Builder
	for _, name := range []string{jobs.StreamJobs, jobs.StreamDead, "KV_status", "KV_batches", "KV_unique", "KV_keys", "KV_tools", "KV_tenants"} {
		s, err := js.Stream(r.ctx, name)
		if err != nil {
			r.t.Fatal(err)
		}
		info, err := s.Info(r.ctx, jetstream.WithSubjectFilter(">"))
		if err != nil {
			r.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s: %d messages, last %d, %v\n", name, info.State.Msgs, info.State.LastSeq, info.State.Subjects)
	}
	s, err := js.Stream(r.ctx, jobs.StreamJobs)
	if err != nil {
		r.t.Fatal(err)
	}
	names := map[string]bool{}
	list := s.ConsumerNames(r.ctx)
	for n := range list.Name() {
		names[n] = true
	}
	fmt.Fprintf(&b, "queues %v\n", names)
	all := js.StreamNames(r.ctx)
	streams := map[string]bool{}
	for n := range all.Name() {
		streams[n] = true
	}
	fmt.Fprintf(&b, "streams %v\n", streams)
	return b.String()
}

// auditSays: mallory's attempts are in the audit log of its tenant.
func (r *rig) auditSays(c *jobs.Client) {
	r.t.Helper()
	r.eventually("the audit log tells", func() error {
		refused := 0
		for e, err := range c.Audit(r.ctx, jobs.AuditFilter{Action: "refused"}) {
			if err != nil {
				return err
			}
			if e.User != "mallory" || e.By != jobs.AuditByGate || e.Reason == "" {
				r.t.Fatalf("audit event %+v", e)
			}
			refused += e.Count
		}
		if refused < 80 {
			return fmt.Errorf("%d refusals", refused)
		}
		return nil
	})
}

// TestPermissionsAreNoWall is why there is a gate. An identity that may use
// JetStream's API for subjects of acme only, as narrow as permissions of NATS
// can say it, writes where it may not publish.
func TestPermissionsAreNoWall(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := authtest.Start(t)
	opNC, opJS := s.Connect(t, fleetauth.Grant{Role: fleetauth.Operator, User: "op"})
	if err := (jobs.Topology{}).Ensure(ctx, opJS); err != nil {
		t.Fatal(err)
	}
	beta, err := jobs.NewClient(ctx, opNC, opJS, "beta")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, ctx: ctx, Server: s}
	creds := s.NaiveIdentity(t, "acme",
		[]string{"jobs.acme.>", "submit.acme.>", "$KV.status.acme.>", "$KV.unique.acme.>", "$JS.API.DIRECT.GET.KV_status.$KV.status.acme.>", "$JS.API.CONSUMER.CREATE.KV_status.*.$KV.status.acme.>"},
		[]string{"_INBOX.acme.>"})
	nc, err := nats.Connect(s.URL(), nats.RootCAs(s.CA), nats.UserCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	status, err := opJS.KeyValue(ctx, jobs.BucketStatus)
	if err != nil {
		t.Fatal(err)
	}
	send := func(m *nats.Msg) {
		t.Helper()
		if err := nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
		if err := nc.FlushTimeout(10 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	send(&nats.Msg{Subject: "$KV.status.acme.seed", Data: []byte(`{"state":"forged"}`)})

	// The answer to a read is a write.
	send(&nats.Msg{Subject: "$JS.API.DIRECT.GET.KV_status.$KV.status.acme.seed", Reply: "$KV.status.beta.by-reply"})
	// So is a delivery.
	heard, err := opNC.SubscribeSync("events.beta.secret.log") // as all do who watch the output of beta's job
	if err != nil {
		t.Fatal(err)
	}
	if err := opNC.FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	send(&nats.Msg{Subject: "$JS.API.CONSUMER.CREATE.KV_status.c1.$KV.status.acme.seed", Reply: "_INBOX.acme.1", Data: mustJSON(map[string]any{
		"stream_name": "KV_status", "config": map[string]any{"name": "c1", "filter_subject": "$KV.status.acme.seed", "deliver_policy": "all", "ack_policy": "none", "replay_policy": "instant", "deliver_subject": "events.beta.secret.log"}})})
	r.eventually("a record is written through a reply subject", func() error {
		_, err := status.Get(ctx, "beta.by-reply")
		return err
	})
	if m, err := heard.NextMsg(30 * time.Second); err != nil || m.Subject != "$KV.status.acme.seed" {
		t.Errorf("through a delivery whoever watches beta's output heard %+v, %v", m, err)
	}
	queue, err := opJS.Stream(ctx, jobs.StreamJobs)
	if err != nil {
		t.Fatal(err)
	}

	// So is a schedule that fires.
	send(&nats.Msg{Subject: "jobs.acme.sched.s", Data: []byte(`{}`), Header: nats.Header{
		"Nats-Schedule": {"@at " + time.Now().UTC().Format(time.RFC3339)}, "Nats-Schedule-Target": {"jobs.beta.normal.by-schedule"}}})
	r.eventually("a job is made through a schedule", func() error {
		_, err := queue.GetLastMsgForSubject(ctx, "jobs.beta.normal.by-schedule")
		return err
	})

	// A message id of another's makes its job a duplicate, which is dropped.
	send(&nats.Msg{Subject: "jobs.acme.normal.x", Data: []byte(`{}`), Header: nats.Header{"Nats-Msg-Id": {"beta.important"}}})
	r.eventually("it is stored", func() error {
		_, err := queue.GetLastMsgForSubject(ctx, "jobs.acme.normal.x")
		return err
	})
	if got, err := beta.Submit(ctx, job("important")); err != nil || !got.Duplicate {
		t.Errorf("beta's job gave %+v, %v; permissions would have to hold message ids apart for it to be stored", got, err)
	}

	// One header empties everybody's bucket, another one the queue.
	if _, err := status.Put(ctx, "beta.precious", []byte("1")); err != nil {
		t.Fatal(err)
	}
	send(&nats.Msg{Subject: "$KV.status.acme.seed", Data: []byte("x"), Header: nats.Header{"Nats-Rollup": {"all"}}})
	r.eventually("the bucket is emptied", func() error {
		if _, err := status.Get(ctx, "beta.precious"); !errors.Is(err, jetstream.ErrKeyNotFound) {
			return fmt.Errorf("reading gives %v", err)
		}
		return nil
	})
}
