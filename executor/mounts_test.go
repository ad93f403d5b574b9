package executor_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"boxfleet/executor"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// outputs gives the collected files of a result with their contents.
func (r *rig) outputs(t *testing.T, res *jobs.Result) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, f := range res.Outputs {
		got[f.Path] = r.get(t, res.OutputPrefix+f.Path)
		if int64(len(got[f.Path])) != f.Size {
			t.Errorf("%s: %d bytes, the manifest says %d", f.Path, len(got[f.Path]), f.Size)
		}
	}
	return got
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %q, want %q", what, got, want)
		return
	}
	for k, v := range want {
		if g, ok := got[k]; !ok || g != v {
			t.Errorf("%s: %q is %q (there: %v), want %q", what, k, g, ok, v)
		}
	}
}

// TestMounts runs jobs with every mode of work_dir and map_dirs.
func TestMounts(t *testing.T) {
	r := newRig(t, options{})
	tree := r.tree(t, map[string]string{"a": "one", "sub/b": "two"})
	r.put(t, "inputs/default/set/a", "one")
	r.put(t, "inputs/default/set/sub/b", "two")
	prefix := "s3://" + r.store.Bucket() + "/inputs/default/set/"
	none := map[string]string{}
	for _, c := range []struct {
		name    string
		words   string
		options limits.RunOption
		want    want
		outputs map[string]string
		deleted []string
	}{
		{"ro tree", "cat a cat sub/b ls /", limits.RunOption{WorkDir: &limits.Mount{Source: tree}},
			want{outcome: jobs.Succeeded, stdout: "onetwoa\nsub\n"}, none, nil},
		{"ro prefix", "cat a cat sub/b", limits.RunOption{WorkDir: &limits.Mount{Source: prefix}},
			want{outcome: jobs.Succeeded, stdout: "onetwo"}, none, nil},
		{"ro refuses every change", "try write a x try write new x try rm a try mkdir d cat a", limits.RunOption{WorkDir: &limits.Mount{Source: tree}},
			want{outcome: jobs.Succeeded, stdout: "errno 69\nerrno 69\nerrno 69\nerrno 69\none"}, none, nil},
		{"ro is the same afterwards", "cat a", limits.RunOption{WorkDir: &limits.Mount{Source: tree}},
			want{outcome: jobs.Succeeded, stdout: "one"}, none, nil},
		{"rw gives what is new, changed and gone", "write a changed write new fresh mkdir d write d/deep x rm sub/b", limits.RunOption{WorkDir: &limits.Mount{Source: tree, Mode: limits.ReadWrite}},
			want{outcome: jobs.Succeeded}, map[string]string{"a": "changed", "new": "fresh", "d/deep": "x"}, []string{"sub/b"}},
		{"rw from a prefix leaves the prefix alone", "write a changed", limits.RunOption{WorkDir: &limits.Mount{Source: prefix, Mode: limits.ReadWrite}},
			want{outcome: jobs.Succeeded}, map[string]string{"a": "changed"}, nil},
		{"the next job sees nothing of it", "cat a ls /", limits.RunOption{WorkDir: &limits.Mount{Source: prefix}},
			want{outcome: jobs.Succeeded, stdout: "onea\nsub\n"}, none, nil},
		{"outputs of one that exits with a code", "write f x exit 3", limits.RunOption{WorkDir: &limits.Mount{Mode: limits.ReadWrite}},
			want{outcome: jobs.Exited, exit: 3}, map[string]string{"f": "x"}, nil},
		{"none of one that traps", "write f x trap", limits.RunOption{WorkDir: &limits.Mount{Mode: limits.ReadWrite}},
			want{outcome: jobs.Trapped}, none, nil},
		{"scratch is thrown away", "cat a write a x write new y cat a", limits.RunOption{WorkDir: &limits.Mount{Source: tree, Mode: limits.Scratch}},
			want{outcome: jobs.Succeeded, stdout: "onex"}, none, nil},
		{"several mounts", "cat /in/a write /out/f x try write /in/f x ls /", limits.RunOption{
			WorkDir: &limits.Mount{Mode: limits.Scratch},
			MapDirs: []limits.Mount{{Source: tree, Guest: "/in"}, {Guest: "/out", Mode: limits.ReadWrite}}},
			want{outcome: jobs.Succeeded, stdout: "oneerrno 69\nin\nout\n"}, map[string]string{"out/f": "x"}, nil},
		{"nested: rw below ro", "cat a write sub/out/f x try write sub/g x cat sub/b", limits.RunOption{
			WorkDir: &limits.Mount{Source: tree},
			MapDirs: []limits.Mount{{Guest: "/sub/out", Mode: limits.ReadWrite}}},
			want{outcome: jobs.Succeeded, stdout: "oneerrno 69\ntwo"}, map[string]string{"sub/out/f": "x"}, nil},
		{"nested: ro below rw", "write f x cat in/a try write in/a y try rm in/sub/b", limits.RunOption{
			WorkDir: &limits.Mount{Mode: limits.ReadWrite},
			MapDirs: []limits.Mount{{Source: prefix, Guest: "/in"}}},
			want{outcome: jobs.Succeeded, stdout: "oneerrno 69\nerrno 69\n"}, map[string]string{"f": "x"}, nil},
		{"nested: rw below rw, each file once", "write f x write deep/er/g y", limits.RunOption{
			WorkDir: &limits.Mount{Mode: limits.ReadWrite},
			MapDirs: []limits.Mount{{Guest: "/deep/er", Mode: limits.ReadWrite}}},
			want{outcome: jobs.Succeeded}, map[string]string{"f": "x", "deep/er/g": "y"}, nil},
		{"a mount without a root", "cat /in/a", limits.RunOption{MapDirs: []limits.Mount{{Source: tree, Guest: "/in"}}},
			want{outcome: jobs.Succeeded, stdout: "one"}, none, nil},
		{"a prefix that is not there", "say on", limits.RunOption{WorkDir: &limits.Mount{Source: "s3://" + r.store.Bucket() + "/inputs/default/none/"}},
			want{outcome: jobs.Invalid, err: []string{"inputs/default/none/", "not found"}}, none, nil},
		{"a tree that is not there", "say on", limits.RunOption{WorkDir: &limits.Mount{Source: "sha256:" + strings.Repeat("ab", 32)}},
			want{outcome: jobs.Invalid, err: []string{"mount /", "not found"}}, none, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := r.run(t, r.act(t, c.words, c.options))
			c.want.check(t, res)
			same(t, "outputs", r.outputs(t, res), c.outputs)
			if !slices.Equal(res.Deleted, c.deleted) {
				t.Errorf("deleted %q, want %q", res.Deleted, c.deleted)
			}
			if len(c.outputs) > 0 && res.BytesOut == 0 {
				t.Error("outputs without bytes")
			}
			r.checkSwept(t)
		})
	}
	t.Run("published to its output prefix", func(t *testing.T) {
		out := "s3://" + r.store.Bucket() + "/outputs/default/run1/"
		res := r.run(t, r.act(t, "write f x mkdir d write d/g y write in/h z", limits.RunOption{
			WorkDir: &limits.Mount{Mode: limits.ReadWrite, Output: out},
			MapDirs: []limits.Mount{{Guest: "/in", Mode: limits.ReadWrite}}}))
		want{outcome: jobs.Succeeded}.check(t, res)
		if f, g := r.get(t, out+"f"), r.get(t, out+"d/g"); f != "x" || g != "y" {
			t.Errorf("published %q and %q", f, g)
		}
		if _, err := r.store.Stat(t.Context(), "", "outputs/default/run1/in/h"); err == nil {
			t.Error("a file of another mount was published too")
		}
	})
	t.Run("huge stdout is an object", func(t *testing.T) {
		res := r.run(t, r.act(t, "stdout 500000", limits.RunOption{}))
		want{outcome: jobs.Succeeded, stdout: strings.Repeat("x", jobs.InlineOutput)}.check(t, res)
		if all := r.get(t, res.StdoutKey); all != strings.Repeat("x", 500_000) {
			t.Errorf("%d bytes stored", len(all))
		}
		if res.StderrKey != "" || len(res.Outputs) != 0 {
			t.Errorf("stderr key %q, outputs %v", res.StderrKey, res.Outputs)
		}
	})
}

// TestOutputCap: outputs over what the worker collects end a job, and none of
// them stays.
func TestOutputCap(t *testing.T) {
	r := newRig(t, options{config: func(c *executor.Config) { c.MaxOutputBytes, c.MaxOutputFiles = 100_000, 20 }})
	rw := limits.RunOption{WorkDir: &limits.Mount{Mode: limits.ReadWrite}}
	for _, c := range []struct{ name, words string }{
		{"bytes", "fill f 100001"},
		{"bytes of two mounts", "fill f 60000 fill other/g 60000"},
		{"files", "mkdir d files d 21"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := rw
			o.MapDirs = []limits.Mount{{Guest: "/other", Mode: limits.ReadWrite}}
			res := r.run(t, r.act(t, c.words, o))
			want{outcome: jobs.OutputLimit, err: []string{"too large"}}.check(t, res)
			if len(res.Outputs) != 0 || res.OutputPrefix != "" {
				t.Errorf("outputs %v below %q", res.Outputs, res.OutputPrefix)
			}
		})
	}
	want{outcome: jobs.Succeeded}.check(t, r.run(t, r.act(t, "fill f 100000", rw)))
}

// TestInputCap: what a job stages is bounded too.
func TestInputCap(t *testing.T) {
	r := newRig(t, options{config: func(c *executor.Config) { c.MaxInputBytes, c.MaxInputFiles = 1000, 3 }})
	big, many := r.tree(t, map[string]string{"f": strings.Repeat("x", 1001)}), r.tree(t, map[string]string{"a": "", "b": "", "c": "", "d": ""})
	for _, mode := range []limits.Mode{limits.ReadOnly, limits.ReadWrite, limits.Scratch} {
		for _, source := range []string{big, many} {
			res := r.run(t, r.act(t, "say on", limits.RunOption{WorkDir: &limits.Mount{Source: source, Mode: mode}}))
			want{outcome: jobs.Invalid, err: []string{"mount /", "too large"}}.check(t, res)
		}
	}
}

// TestAccess: what a tenant may not name is denied before the worker's
// credentials touch anything.
func TestAccess(t *testing.T) {
	r := newRig(t, options{})
	bucket := "s3://" + r.store.Bucket()
	r.put(t, "inputs/other/secret", "not yours")
	ids := []string{}
	want{outcome: jobs.Succeeded}.check(t, r.run(t, r.act(t, "say on", limits.RunOption{}))) // the tool is cached now
	r.proxy.Requests()
	for _, c := range []struct {
		name    string
		options limits.RunOption
		stdin   string
		field   string
	}{
		{"another tenant's inputs", limits.RunOption{WorkDir: &limits.Mount{Source: bucket + "/inputs/other/"}}, "", "mount /"},
		{"the blobs", limits.RunOption{WorkDir: &limits.Mount{Source: bucket + "/blobs/"}}, "", "mount /"},
		{"the whole bucket", limits.RunOption{WorkDir: &limits.Mount{Source: bucket + "/"}}, "", "mount /"},
		{"another bucket", limits.RunOption{MapDirs: []limits.Mount{{Source: "s3://elsewhere/inputs/default/", Guest: "/in"}}}, "", "mount /in"},
		{"another tenant's outputs", limits.RunOption{WorkDir: &limits.Mount{Mode: limits.ReadWrite, Output: bucket + "/outputs/other/x/"}}, "", "output of mount /"},
		{"inputs as outputs", limits.RunOption{WorkDir: &limits.Mount{Mode: limits.ReadWrite, Output: bucket + "/inputs/default/x/"}}, "", "output of mount /"},
		{"manifests as outputs", limits.RunOption{WorkDir: &limits.Mount{Mode: limits.ReadWrite, Output: bucket + "/out/default/"}}, "", "output of mount /"},
		{"another tenant's object as stdin", limits.RunOption{}, bucket + "/inputs/other/secret", "stdin.source"},
	} {
		t.Run(c.name, func(t *testing.T) {
			job := r.act(t, "say on", c.options)
			if c.stdin != "" {
				job.Stdin = &jobs.Stdin{Source: c.stdin}
			}
			res := r.run(t, job)
			want{outcome: jobs.Denied, err: []string{c.field, "may not"}}.check(t, res)
			ids = append(ids, res.ID)
		})
	}
	if asked := r.proxy.Requests(); len(asked) != 0 {
		t.Errorf("the worker asked the store: %q", asked)
	}
	if len(ids) != 8 {
		t.Errorf("%d jobs ended", len(ids))
	}
}

// TestNoRequests: a job without files makes no request to the store once its
// tool is cached.
func TestNoRequests(t *testing.T) {
	r := newRig(t, options{})
	r.alive(t)
	if first := r.proxy.Requests(); len(first) == 0 {
		t.Fatal("the first job fetched nothing: the proxy is not in between")
	}
	for range 20 {
		r.alive(t)
	}
	if asked := r.proxy.Requests(); len(asked) != 0 {
		t.Errorf("twenty jobs asked the store: %q", asked)
	}
}

// TestUnreadableWorkspace: what a guest leaves is removed, also when nobody may
// read it any more.
func TestUnreadableWorkspace(t *testing.T) {
	r := newRig(t, options{})
	id := r.submit(t, r.act(t, "mkdir d mkdir d/e write d/e/f x write ready x await go", limits.RunOption{WorkDir: &limits.Mount{Mode: limits.Scratch}}))
	var dir string
	eventually(t, "the guest has written", func() bool {
		found, err := filepath.Glob(filepath.Join(r.dir, "scratch", "jobs", "*", "*", "ready"))
		if err != nil || len(found) != 1 {
			return false
		}
		dir = filepath.Dir(found[0])
		return true
	})
	for _, name := range []string{"d/e/f", "d/e", "d"} {
		if err := os.Chmod(filepath.Join(dir, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want{outcome: jobs.Succeeded}.check(t, r.await(t, id)[id].Result)
	r.checkSwept(t)
}
