package mcp

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"boxfleet/artifacts"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// directory makes a work directory of files.
func directory(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for p, content := range files {
		write(t, dir, p, content)
	}
	return dir
}

func write(t *testing.T, dir, p, content string) {
	t.Helper()
	p = filepath.Join(dir, p)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
}

// files reads a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		out[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWorkDirIsStagedAndWrittenBack(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	dir := directory(t, map[string]string{"a.txt": "one", "sub/b.txt": "two", "old": "x"})
	var saw map[string]string
	var mode limits.Mode
	look := func(ctx context.Context, a *jobs.Attempt) (r *jobs.Result, err error) {
		mode = a.Job.Options.WorkDir.Mode
		saw, err = stagedFiles(ctx, a)
		return done(0, "looked", ""), err
	}
	reader := u.tool(look, level("read_only"))
	computer := u.tool(func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		return done(0, fmt.Sprint(a.Job.Options.WorkDir), ""), nil
	}, level("none"))
	writer := u.tool(func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		if _, err := look(ctx, a); err != nil {
			return nil, err
		}
		r := done(0, "wrote", "")
		r.Deleted = []string{"old"}
		return r, leave(ctx, r, a, map[string]string{"a.txt": "changed", "new/c.txt": "three"})
	}, level("write"))
	a := u.server(func(c *Config) { c.WorkDir = &WorkDir{Dir: dir, Mode: limits.ReadWrite} }).connect(t, versions[0])

	wants(t, a.call(reader, nil), false, "looked")
	if mode != limits.ReadOnly || !cmp.Equal(saw, map[string]string{"a.txt": "one", "sub/b.txt": "two", "old": "x"}) {
		t.Errorf("the reader saw %v as %s", saw, mode)
	}
	wants(t, a.call(computer, nil), false, "nil")
	wants(t, a.call(writer, nil), false, "wrote", "written a.txt, new/c.txt; removed old", "link a.txt")
	if mode != limits.ReadWrite {
		t.Errorf("the writer had mode %s", mode)
	}
	if got := files(t, dir); !cmp.Equal(got, map[string]string{"a.txt": "changed", "sub/b.txt": "two", "new/c.txt": "three"}) {
		t.Errorf("the directory holds %v", got)
	}
	if info, err := os.Stat(filepath.Join(dir, "a.txt")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("a changed file has mode %v, %v", info.Mode(), err)
	}
	wants(t, a.call(reader, nil), false)
	if saw["a.txt"] != "changed" || saw["old"] != "" {
		t.Errorf("the next call saw %v", saw)
	}
}

func TestWorkDirModes(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	dir := directory(t, map[string]string{"a": "1"})
	show := func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		w := a.Job.Options.WorkDir
		if w == nil {
			return done(0, "no directory", ""), nil
		}
		return done(0, fmt.Sprintf("%s %s %s", w.Mode, w.Source, w.Output), ""), nil
	}
	writer, reader, computer := u.tool(show, level("write")), u.tool(show, level("read_only")), u.tool(show, level("none"))
	prefix := "s3://" + theFleet.store.Bucket() + "/inputs/x"
	for _, c := range []struct {
		work                     *WorkDir
		writer, reader, computer string
	}{
		{nil, "no directory", "no directory", "no directory"},
		{&WorkDir{Dir: dir, Mode: limits.ReadOnly}, "ro sha256:", "ro sha256:", "no directory"},
		{&WorkDir{Dir: dir, Mode: limits.Scratch}, "scratch sha256:", "scratch sha256:", "no directory"},
		{&WorkDir{Source: prefix, Mode: limits.ReadWrite}, "rw " + prefix + " " + prefix + "/", "ro " + prefix + " ", "no directory"},
		{&WorkDir{Source: prefix + "/", Mode: limits.ReadOnly}, "ro " + prefix + "/ ", "ro " + prefix + "/ ", "no directory"},
	} {
		a := u.server(func(cfg *Config) { cfg.WorkDir = c.work }).connect(t, versions[0])
		wants(t, a.call(writer, nil), false, c.writer)
		wants(t, a.call(reader, nil), false, c.reader)
		wants(t, a.call(computer, nil), false, c.computer)
	}
}

func TestWriteBackKeepsWhatOthersChanged(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	dir := directory(t, map[string]string{"mine": "before", "deleted": "before", "removed": "before", "same": "before"})
	tool := u.tool(func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		// Somebody edits while the job runs.
		write(t, dir, "mine", "edited")
		write(t, dir, "removed", "edited")
		write(t, dir, "appeared", "edited")
		if err := os.Remove(filepath.Join(dir, "deleted")); err != nil {
			return nil, err
		}
		r := done(0, "", "")
		r.Deleted = []string{"removed"}
		return r, leave(ctx, r, a, map[string]string{"mine": "job", "deleted": "job", "appeared": "job", "same": "job"})
	}, level("write"))
	a := u.server(func(c *Config) { c.WorkDir = &WorkDir{Dir: dir, Mode: limits.ReadWrite} }).connect(t, versions[0])
	r := a.call(tool, nil)
	wants(t, r, true, "written same", "mine: it changed here", "deleted: it changed here", "appeared: it changed here", "removed: it changed here")
	want := map[string]string{"mine": "edited", "removed": "edited", "appeared": "edited", "same": "job"}
	if got := files(t, dir); !cmp.Equal(got, want) {
		t.Errorf("the directory holds %v, want %v", got, want)
	}
}

func TestHostileOutputsStayInTheWorkDir(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	outside := directory(t, map[string]string{"secret": "outside"})
	dir := directory(t, map[string]string{"dir/file": "x"})
	tool := u.tool(func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		// Links that appear while the job runs lead out of the directory.
		for name, target := range map[string]string{"link": outside, "leaf": filepath.Join(outside, "secret")} {
			if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
				return nil, err
			}
		}
		r := done(0, "", "")
		r.Deleted = []string{"../" + filepath.Base(outside) + "/secret", "link/secret", "/etc/hostname"}
		err := leave(ctx, r, a, map[string]string{"../escaped": "x", "/absolute": "x", "link/planted": "x", "leaf": "x", "a\x00b": "x", "good": "x"})
		for _, p := range []string{"dir", "dir/file/below"} { // a directory here, and below a file
			r.Outputs = append(r.Outputs, artifacts.OutputFile{Path: p, Size: 1, SHA256: strings.Repeat("0", 64)})
		}
		return r, err
	}, level("write"))
	a := u.server(func(c *Config) { c.WorkDir = &WorkDir{Dir: dir, Mode: limits.ReadWrite} }).connect(t, versions[0])
	r := a.call(tool, nil)
	wants(t, r, true, "written good")
	if got := files(t, outside); !cmp.Equal(got, map[string]string{"secret": "outside"}) {
		t.Errorf("outside is %v", got)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(dir), "escaped")); err == nil {
		t.Error("a file was written beside the directory")
	}
	if strings.ContainsAny(text(r), "\x00") {
		t.Errorf("answer %q", text(r))
	}
	if got := files(t, filepath.Join(dir, "dir")); !cmp.Equal(got, map[string]string{"file": "x"}) {
		t.Errorf("the directory holds %v", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".part-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestWritersOfOneWorkDirComposeAndReadersSeeWholeStates(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	dir := directory(t, map[string]string{"log": "", "copy": ""})
	appendTo := u.tool(func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		saw, err := stagedFiles(ctx, a)
		if err != nil {
			return nil, err
		}
		r := done(0, "", "")
		text := saw["log"] + a.Job.Args[0] + "\n"
		return r, leave(ctx, r, a, map[string]string{"log": text, "copy": text})
	}, level("write"))
	check := u.tool(func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		saw, err := stagedFiles(ctx, a)
		if err != nil {
			return nil, err
		}
		if saw["log"] != saw["copy"] {
			return done(1, "half a change", ""), nil
		}
		return done(0, "", ""), nil
	}, level("read_only"))
	s := u.server(func(c *Config) { c.WorkDir = &WorkDir{Dir: dir, Mode: limits.ReadWrite} })
	a, b := s.connect(t, versions[0]), s.connect(t, versions[1])
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			r, err := []*agent{a, b}[i%2].CallTool(t.Context(), callOf(appendTo, fmt.Sprint(i)))
			if err != nil || r.IsError {
				t.Errorf("call %d: %v %v", i, err, r)
			}
		})
		all.Go(func() {
			if r, err := a.CallTool(t.Context(), callOf(check)); err != nil || r.IsError {
				t.Errorf("reading: %v %s", err, text(r))
			}
		})
	}
	all.Wait()
	if got := strings.Count(files(t, dir)["log"], "\n"); got != 12 {
		t.Errorf("%d of 12 changes are there: %q", got, files(t, dir)["log"])
	}
}

func TestWorkDirThatCannotBeStaged(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	dir := directory(t, map[string]string{"a": "1"})
	tool := u.tool(echo, level("write"))
	a := u.server(func(c *Config) { c.WorkDir = &WorkDir{Dir: dir, Mode: limits.ReadWrite} }).connect(t, versions[0])
	if err := os.Symlink("/etc", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	wants(t, a.call(tool, nil), true, "stage the work directory", "symbolic link")
	if err := os.Remove(filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	wants(t, a.call(tool, nil), false) // the lock was given back
}

func TestOutputThatIsNotWhatTheResultSaysIsNotWritten(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	dir := directory(t, map[string]string{"a": "before"})
	tool := u.tool(func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		r := done(0, "", "")
		if err := leave(ctx, r, a, map[string]string{"a": "after"}); err != nil {
			return nil, err
		}
		_, key, err := artifacts.ParseObject(r.OutputPrefix)
		if err != nil {
			return nil, err
		}
		return r, theFleet.store.Put(ctx, "", key+"a", []byte("other"))
	}, level("write"))
	a := u.server(func(c *Config) { c.WorkDir = &WorkDir{Dir: dir, Mode: limits.ReadWrite} }).connect(t, versions[0])
	wants(t, a.call(tool, nil), true, "Not written to the work directory", "link a")
	if got := files(t, dir); !cmp.Equal(got, map[string]string{"a": "before"}) {
		t.Errorf("the directory holds %v", got)
	}
}
