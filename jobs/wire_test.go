package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"boxfleet/artifacts"
)

// What a release stored, the next one finds: jobs that wait, records of jobs
// that run, batches, tools. testdata/wire/v1 holds one of each as release 1
// wrote it. These files are never changed; a field that a later release adds
// goes into a file of its own beside them.

// wireForms are the documents and who reads them.
var wireForms = []struct {
	prefix string // of the files' names
	read   func(data []byte) (any, error)
}{
	{"job-", func(data []byte) (any, error) { return Decode(data) }},
	{"record-", func(data []byte) (any, error) { return decodeRecord(data) }},
	{"dead-letter", plain[DeadLetter]},
	{"tool.", plain[Manifest]},
	{"tool-yank", plain[Yank]},
	{"tool-channel", plain[Alias]},
	{"tool-signature", plain[Signature]},
	{"batch.", func(data []byte) (any, error) { return decodeBatch("acme.b-1", data) }},
	{"batch-ended", plain[BatchEvent]},
	{"members", func(data []byte) (any, error) { m, _, err := decodeMembers(data); return m, err }},
	{"array", func(data []byte) (any, error) { a, _, err := decodeArray(data); return a, err }},
	{"schedule-", func(data []byte) (any, error) { return decodeRecurring(data) }},
	{"log-chunk", plain[LogChunk]},
	{"tenant", func(data []byte) (any, error) { return decodeTenant(data) }},
	{"key", func(data []byte) (any, error) { return decodeKeyNote(data) }},
	{"unique", plain[uniqueEntry]},
	{"places", func(data []byte) (any, error) { return decodeSeats(data) }},
	{"starts", func(data []byte) (any, error) { return decodeWindow(data) }},
	{"worker", plain[Presence]},
	{"outputs", plain[artifacts.Manifest]},
	{"tree", plain[artifacts.Tree]},
}

// plain reads a document that has no decoder of its own; a field it does not
// know is one that was renamed or removed.
func plain[T any](data []byte) (any, error) {
	v := new(T)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return v, dec.Decode(v)
}

func wireFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/wire/v*/*.json")
	if err != nil || len(files) < len(wireForms) {
		t.Fatalf("%d documents of earlier releases, want at least one of each of %d forms (%v)", len(files), len(wireForms), err)
	}
	return files
}

// readForm finds who reads a file and lets it.
func readForm(t *testing.T, file string) (data []byte, read any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range wireForms {
		if strings.HasPrefix(filepath.Base(file), f.prefix) {
			v, err := f.read(data)
			if err != nil {
				t.Fatalf("%s is not understood any more: %v", file, err)
			}
			return data, v
		}
	}
	t.Fatalf("nobody reads %s", file)
	return nil, nil
}

// TestWireKeepsEverything: what an earlier release wrote is read, and written
// again without a loss. A worker changes records that it did not write.
func TestWireKeepsEverything(t *testing.T) {
	t.Parallel()
	for _, file := range wireFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, v := readForm(t, file)
			again, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			for _, diff := range missing("", number(t, data), number(t, again)) {
				t.Errorf("%s", diff)
			}
		})
	}
}

// number decodes with numbers as they stand: 2^64-1 is no float64.
func number(t *testing.T, data []byte) (v any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// missing lists what of old is not the same in now. What is new is no loss.
func missing(at string, old, now any) (out []string) {
	switch o := old.(type) {
	case map[string]any:
		n, ok := now.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s: %v became %v", at, old, now)}
		}
		for k, v := range o {
			if _, there := n[k]; !there {
				out = append(out, fmt.Sprintf("%s.%s is lost", at, k))
				continue
			}
			out = append(out, missing(at+"."+k, v, n[k])...)
		}
	case []any:
		n, ok := now.([]any)
		if !ok || len(n) != len(o) {
			return []string{fmt.Sprintf("%s: %v became %v", at, old, now)}
		}
		for i := range o {
			out = append(out, missing(fmt.Sprintf("%s[%d]", at, i), o[i], n[i])...)
		}
	default:
		if !reflect.DeepEqual(old, now) {
			out = []string{fmt.Sprintf("%s: %v became %v", at, old, now)}
		}
	}
	return out
}

// TestWireNamesEveryField: a field that no document names is one whose form
// may change unseen between two releases.
func TestWireNamesEveryField(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	types := map[reflect.Type]bool{}
	for _, file := range wireFiles(t) {
		data, v := readForm(t, file)
		collect(reflect.TypeOf(v), number(t, data), named, types)
	}
	for typ := range types {
		for f := range typ.Fields() {
			if name, ok := jsonName(f); ok && !named[typ.String()+"."+name] {
				t.Errorf("no document has %q of %s: write one into testdata/wire/v%d in a file of its own", name, typ, WireVersion)
			}
		}
	}
	if len(types) < 30 {
		t.Errorf("only %d types were looked at", len(types))
	}
}

// beside are fields that are never in the stored document: they are filled in
// from others when it is read, or refused in a job.
var beside = []string{"jobs.Manifest.yanked", "jobs.Manifest.channels", "jobs.Manifest.signatures", "limits.RunOption.wasm_cache_dir"}

func jsonName(f reflect.StructField) (string, bool) {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name, f.IsExported() && name != "" && name != "-"
}

// collect notes the types below typ, and which of their fields the document
// has.
func collect(typ reflect.Type, doc any, named map[string]bool, types map[reflect.Type]bool) {
	switch typ.Kind() {
	case reflect.Pointer:
		collect(typ.Elem(), doc, named, types)
	case reflect.Slice, reflect.Array:
		list, _ := doc.([]any)
		for _, d := range list {
			collect(typ.Elem(), d, named, types)
		}
	case reflect.Map:
		m, _ := doc.(map[string]any)
		for _, d := range m {
			collect(typ.Elem(), d, named, types)
		}
	case reflect.Struct:
		m, ok := doc.(map[string]any)
		if !ok || !strings.HasPrefix(typ.PkgPath(), "boxfleet/") {
			return
		}
		types[typ] = true
		for _, b := range beside {
			named[b] = true
		}
		for f := range typ.Fields() {
			name, ok := jsonName(f)
			if d, there := m[name]; ok && there {
				named[typ.String()+"."+name] = true
				collect(f.Type, d, named, types)
			}
		}
	}
}

// TestWireNames: subjects, keys and consumers are found by their names, which
// the last release chose.
func TestWireNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{jobSubject("acme", High, "job-1"), "jobs.acme.high.job-1"},
		{jobSubject("acme", laneSched, "job-1"), "jobs.acme.sched.job-1"},
		{jobSubject("acme", laneHold, "job-1"), "jobs.acme.hold.job-1"},
		{jobSubject("acme", keyLane("customer 7"), "job-1"), "jobs.acme.k_a8564eeb8ba3b25fa1da.job-1"},
		{consumerName("acme", Normal), "q-acme-normal"},
		{recordKey("acme", "job-1"), "acme.job-1"},
		{statusSubject("acme.job-1"), "$KV.status.acme.job-1"},
		{batchKey("acme", "b-1"), "acme.b-1"},
		{membersSubject("acme", "b-1", 2, 999, 2), "members.acme.b-1.2-999-2"},
		{arraySubject("acme", "arr"), "submit.acme.array.arr"},
		{recurringSubject("acme", "hourly"), "submit.acme.cron.hourly"},
		{firedSubject("acme", "hourly"), "submit.acme.fire.hourly"},
		{doneSubject("acme", "", "job-1"), "done.acme._.job-1"},
		{wakeSubject("acme", High), "wake.acme.high"},
		{cancelSubject("acme", "job-1"), "ctl.cancel.acme.job-1"},
		{logSubject("acme", "job-1"), "events.acme.job-1.log"},
		{deadSubject("acme", "jq", "job-1"), "dlq.acme.jq.job-1"},
		{uniqueKey("acme", "order/7"), "acme.5d4be22fe79132a040c9b265458f0fc1"},
		{(&Attempt{Job: &Job{Tenant: "acme", ID: "job-1"}}).ManifestKey(), "out/acme/job-1/manifest.json"},
		{strings.Join([]string{StreamJobs, StreamEvents, StreamDead, StreamAdvisories}, " "), "JOBS EVENTS DLQ ADVISORIES"},
		{strings.Join([]string{BucketStatus, BucketWorkers, BucketTools, BucketBatches, BucketUnique, BucketTenants, BucketLeases, BucketPlaces, BucketKeys}, " "),
			"status workers tools batches unique tenants leases places keys"},
	} {
		if c.got != c.want {
			t.Errorf("%q was %q in the last release", c.got, c.want)
		}
	}
}

// TestJobsOfTheLastRelease: a job and a record that the last release left in
// the queue are taken up by this one where they stood.
func TestJobsOfTheLastRelease(t *testing.T) {
	f := newFleet(t)
	message, _ := readForm(t, "testdata/wire/v1/job-small.json")
	record, _ := readForm(t, "testdata/wire/v1/record-retrying.json")
	// It was tried lately, or it would be too old to be tried again.
	record = bytes.ReplaceAll(record, []byte("2026-10-01T12:00:00Z"), time.Now().UTC().AppendFormat(nil, time.RFC3339))
	status, err := f.js.KeyValue(f.ctx, BucketStatus)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := status.Create(f.ctx, "default.job-2", record); err != nil {
		t.Fatal(err)
	}
	m := &nats.Msg{Subject: "jobs.default.normal.job-2", Data: message, Header: nats.Header{"Nats-Msg-Id": {"default.job-2"}}}
	if _, err := f.js.PublishMsg(f.ctx, m); err != nil {
		t.Fatal(err)
	}
	seen := make(chan *Attempt, 1)
	f.worker("new", func(ctx context.Context, a *Attempt) (*Result, error) {
		seen <- a
		return succeed(ctx, a)
	}, nil)
	rec := f.result("job-2")
	a := <-seen
	if a.Job.Stdin.Source != "s3://boxfleet/inputs/default/in.json" || !a.Job.Options.Deterministic || !a.Job.CompileOnly {
		t.Errorf("the job came as %+v", a.Job)
	}
	if rec.Attempt != 2 || len(rec.Tries) != 1 || rec.Tries[0].Worker != "w-0" || rec.Result.Outcome != Succeeded {
		t.Errorf("its record is %+v", rec)
	}
}

// TestMessagesOfALaterRelease: what says it is of a later version is refused,
// never half understood.
func TestMessagesOfALaterRelease(t *testing.T) {
	t.Parallel()
	var refused []string
	for _, file := range wireFiles(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		later := bytes.Replace(data, []byte("\"v\": 1"), []byte("\"v\": 2"), 1)
		if bytes.Equal(later, data) {
			continue // without a version: it grows by fields
		}
		for _, form := range wireForms {
			if !strings.HasPrefix(filepath.Base(file), form.prefix) {
				continue
			}
			if _, err := form.read(later); err == nil || !strings.Contains(err.Error(), "2") || !strings.Contains(err.Error(), "version") {
				t.Errorf("%s of version 2: %v", file, err)
			}
			refused = append(refused, form.prefix)
		}
	}
	slices.Sort(refused)
	if want := []string{"array", "batch.", "job-", "members", "record-", "schedule-"}; !reflect.DeepEqual(slices.Compact(refused), want) {
		t.Errorf("versions were tried of %q, want %q", refused, want)
	}
}
