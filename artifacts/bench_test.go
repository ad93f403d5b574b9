package artifacts_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"boxfleet/artifacts"
)

// cpu reports the processor time of this process, which on a busy machine says
// more than the clock.
func cpu(b *testing.B) func() {
	used := func() time.Duration {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64((used()-before).Nanoseconds())/float64(b.N), "cpu-ns/op") }
}

// BenchmarkCacheHit is what every job pays for a module or input that is there.
func BenchmarkCacheHit(b *testing.B) {
	s := server.Store(b)
	d, err := s.PutBlobBytes(b.Context(), make([]byte, 1<<20))
	if err != nil {
		b.Fatal(err)
	}
	c, err := artifacts.OpenCache(b.TempDir(), 1<<30)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.ReportAllocs()
	defer cpu(b)()
	for b.Loop() {
		blob, _, err := c.Blob(b.Context(), s, d, 1<<30)
		if err != nil {
			b.Fatal(err)
		}
		blob.Release()
	}
}

// BenchmarkWorkspace is an empty workspace made and removed.
func BenchmarkWorkspace(b *testing.B) {
	w, err := artifacts.OpenWorkspaces(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	b.ReportAllocs()
	defer cpu(b)()
	for b.Loop() {
		ws, err := w.New("job", 1)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := ws.Sub("work"); err != nil {
			b.Fatal(err)
		}
		if err := ws.Remove(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStage fills a workspace with 20 files of 10 KB: from a prefix, from a
// tree whose blobs are cached, and as a shared directory.
func BenchmarkStage(b *testing.B) {
	s := server.Store(b)
	dir := b.TempDir()
	for i := range 20 {
		body := fmt.Appendf(make([]byte, 10_000), "%d", i)
		name := fmt.Sprintf("f%02d", i)
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			b.Fatal(err)
		}
		if err := s.Put(b.Context(), "", "in/"+name, body); err != nil {
			b.Fatal(err)
		}
	}
	tree, _, err := s.PutTree(b.Context(), dir, artifacts.TreeOptions{})
	if err != nil {
		b.Fatal(err)
	}
	c, err := artifacts.OpenCache(b.TempDir(), 1<<30)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	w, err := artifacts.OpenWorkspaces(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	for name, source := range map[string]artifacts.Source{"prefix": {Bucket: s.Bucket(), Prefix: "in/"}, "tree": {Tree: tree}} {
		b.Run(name, func(b *testing.B) {
			defer cpu(b)()
			for b.Loop() {
				ws, err := w.New("job", 1)
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := ws.Stage(b.Context(), "in", artifacts.StageRequest{Store: s, Cache: c, Source: source, Trusted: true}); err != nil {
					b.Fatal(err)
				}
				if err := ws.Remove(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("shared", func(b *testing.B) {
		defer cpu(b)()
		for b.Loop() {
			t, _, err := c.Tree(b.Context(), s, tree, artifacts.Limits{})
			if err != nil {
				b.Fatal(err)
			}
			t.Release()
		}
	})
}

// BenchmarkCollect uploads 20 files of 10 KB.
func BenchmarkCollect(b *testing.B) {
	s := server.Store(b)
	dir := b.TempDir()
	for i := range 20 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), fmt.Appendf(make([]byte, 10_000), "%d", i), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	n := 0
	defer cpu(b)()
	for b.Loop() {
		n++
		if _, err := artifacts.Collect(b.Context(), artifacts.CollectRequest{Store: s, Dir: dir, Prefix: fmt.Sprintf("out/%d/", n), Trusted: true}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCommit is the one conditional PUT of a job with outputs.
func BenchmarkCommit(b *testing.B) {
	s := server.Store(b)
	n := 0
	defer cpu(b)()
	for b.Loop() {
		n++
		if _, ok, err := s.CommitManifest(b.Context(), "", fmt.Sprintf("m/%d", n), artifacts.Manifest{Job: "j", Attempt: 1, Worker: "w"}); err != nil || !ok {
			b.Fatal(ok, err)
		}
	}
}
