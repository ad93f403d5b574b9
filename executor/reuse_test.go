package executor_test

import (
	"strings"
	"testing"

	"boxfleet/jobs"
	"boxfleet/limits"
)

// reuseJob is a deterministic job that asks for an equal one's result; change,
// if any, makes it another one.
func (r *rig) reuseJob(t *testing.T, tree string, change func(*jobs.Job)) *jobs.Job {
	t.Helper()
	j := r.act(t, "cat /in/a.txt write /out/x made", limits.RunOption{
		Deterministic: true,
		MapDirs:       []limits.Mount{{Source: tree, Guest: "/in"}, {Guest: "/out", Mode: limits.ReadWrite}},
	})
	j.ReuseResult = true
	if change != nil {
		change(j)
	}
	return j
}

func TestReuseResult(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	tree := r.tree(t, map[string]string{"a.txt": "one"})
	first := r.run(t, r.reuseJob(t, tree, nil))
	if first.Outcome != jobs.Succeeded || first.ReusedFrom != "" || len(first.Outputs) != 1 {
		t.Fatalf("%+v", first)
	}
	again := r.run(t, r.reuseJob(t, tree, nil))
	if again.ReusedFrom != first.ID || again.ID == first.ID || string(again.Stdout) != string(first.Stdout) || again.FuelConsumed != first.FuelConsumed {
		t.Fatalf("%+v", again)
	}
	if _, ran := again.Phases[jobs.PhaseRun]; ran {
		t.Error("it ran")
	}
	if len(again.Outputs) != 1 || again.OutputPrefix == first.OutputPrefix || r.get(t, again.OutputPrefix+again.Outputs[0].Path) != "made" {
		t.Errorf("outputs %+v below %s", again.Outputs, again.OutputPrefix)
	}

	other := r.tree(t, map[string]string{"a.txt": "two"})
	prefix := r.put(t, "live/a.txt", "one")
	for name, change := range map[string]func(*jobs.Job){
		"not asked for":    func(j *jobs.Job) { j.ReuseResult = false },
		"other input":      func(j *jobs.Job) { j.Options.MapDirs[0].Source = other },
		"changing input":   func(j *jobs.Job) { j.Options.MapDirs[0].Source = strings.TrimSuffix(prefix, "a.txt") },
		"other place":      func(j *jobs.Job) { j.Options.MapDirs[1].Guest = "/out2"; j.Args = []string{"write", "/out2/x", "made"} },
		"other arguments":  func(j *jobs.Job) { j.Args = append(j.Args, "say", "more") },
		"other input text": func(j *jobs.Job) { j.Stdin = &jobs.Stdin{Inline: "x"} },
		"other variable":   func(j *jobs.Job) { j.Options.EnvVars = map[string]string{"A": "b"} },
		"other limit":      func(j *jobs.Job) { j.Options.WasmFuel = 1 << 40 },
		"other name":       func(j *jobs.Job) { j.Tool.Name = "alias" },
		"network":          func(j *jobs.Job) { j.Options.AllowedOutboundHosts = []string{"https://example.com"} },
	} {
		if res := r.run(t, r.reuseJob(t, tree, change)); res.ReusedFrom != "" {
			t.Errorf("%s: answered by job %s", name, res.ReusedFrom)
		}
	}
}

// TestReuseDoubtsItsCache: entries that lie, cannot be read or point at what
// is gone cost a run and nothing else.
func TestReuseDoubtsItsCache(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	tree := r.tree(t, map[string]string{"a.txt": "one"})
	first := r.run(t, r.reuseJob(t, tree, nil))
	var key string
	for o, err := range r.store.List(t.Context(), "", "results/") {
		if err != nil {
			t.Fatal(err)
		}
		key = o.Key
	}
	if !strings.HasPrefix(key, "results/default/") {
		t.Fatalf("no entry: %q", key)
	}
	entry, err := r.store.Get(t.Context(), "", key, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"no JSON":         "{",
		"later version":   strings.Replace(string(entry), `"v":1`, `"v":99`, 1),
		"not a success":   strings.Replace(string(entry), `"succeeded"`, `"exited"`, 1),
		"another's files": strings.Replace(string(entry), "/out/default/", "/out/other/", 1),
		"hostile path":    strings.Replace(string(entry), `"path":"out/x"`, `"path":"../x"`, 1),
		"hostile job":     strings.Replace(string(entry), `"job":"`+first.ID, `"job":"../`+first.ID, 1),
		"huge":            strings.Repeat("x", 9<<20),
	} {
		if text == string(entry) {
			t.Fatalf("%s changes nothing in %s", name, entry)
		}
		r.put(t, key, text)
		if res := r.run(t, r.reuseJob(t, tree, nil)); res.ReusedFrom != "" || res.Outcome != jobs.Succeeded {
			t.Errorf("%s: %+v", name, res)
		}
	}
	res := r.run(t, r.reuseJob(t, tree, nil)) // the last run has mended the entry
	if res.ReusedFrom == "" {
		t.Error("the entry was not written anew")
	}
	for o, err := range r.store.List(t.Context(), "", "out/") {
		if err != nil {
			t.Fatal(err)
		}
		if err := r.store.Delete(t.Context(), "", o.Key); err != nil {
			t.Fatal(err)
		}
	}
	if res := r.run(t, r.reuseJob(t, tree, nil)); res.ReusedFrom != "" || res.Outcome != jobs.Succeeded {
		t.Errorf("outputs gone: %+v", res)
	}
}
