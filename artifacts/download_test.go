package artifacts_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"boxfleet/artifacts"
	"boxfleet/internal/faultproxy"

	"github.com/google/go-cmp/cmp"
)

func TestDownload(t *testing.T) {
	t.Parallel()
	s, proxy := proxied(t)
	ctx := t.Context()
	src := t.TempDir()
	want := map[string]string{"a": "result", "b/c": repeat("x", 100_000), "b/empty": ""}
	write(t, src, want)
	out, err := artifacts.Collect(ctx, artifacts.CollectRequest{Store: s, Dir: src, Prefix: "out/", Trusted: true})
	if err != nil {
		t.Fatal(err)
	}

	dir := filepath.Join(t.TempDir(), "made", "here")
	var calls atomic.Int64
	proxy.Set(faultproxy.Fault{Match: faultproxy.Method("GET", "out/b/c"), TruncateBody: true, Times: 2})
	if err := artifacts.Download(ctx, s, out, dir, func(artifacts.OutputFile) { calls.Add(1) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, readDir(t, dir)); diff != "" || calls.Load() != 3 {
		t.Errorf("%d reports; downloaded (-want +got):\n%s", calls.Load(), diff)
	}

	// Again, over what is there: replaced whole, other files kept, links not followed.
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, filepath.Dir(outside), map[string]string{"outside": "untouched"})
	write(t, dir, map[string]string{"other": "kept", "b/c": "old"})
	if err := errors.Join(os.Remove(filepath.Join(dir, "a")), os.Symlink(outside, filepath.Join(dir, "a"))); err != nil {
		t.Fatal(err)
	}
	if err := artifacts.Download(ctx, s, out, dir, nil); err != nil {
		t.Fatal(err)
	}
	withOther := maps.Clone(want)
	withOther["other"] = "kept"
	if diff := cmp.Diff(withOther, readDir(t, dir)); diff != "" {
		t.Errorf("downloaded again (-want +got):\n%s", diff)
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != "untouched" {
		t.Errorf("behind the link: %q, %v", b, err)
	}

	put(t, s, "out/a", "rigged")
	err = artifacts.Download(ctx, s, out, dir, nil)
	wantError(t, err, artifacts.ErrDigestMismatch, artifacts.Permanent, "a")
	if diff := cmp.Diff(withOther, readDir(t, dir)); diff != "" {
		t.Errorf("after a failure (-want +got):\n%s", diff)
	}

	linked := t.TempDir()
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(linked, "b")); err != nil {
		t.Fatal(err)
	}
	if err := artifacts.Download(ctx, s, out, linked, nil); err == nil {
		t.Error("a linked directory led out")
	}
	if got := readDir(t, filepath.Dir(outside)); len(got) != 1 {
		t.Errorf("written outside: %v", got)
	}

	sum := out.Files[0].SHA256
	for name, files := range map[string][]artifacts.OutputFile{
		"escape":   {{Path: "../x", SHA256: sum}},
		"absolute": {{Path: "/x", SHA256: sum}},
		"digest":   {{Path: "x", SHA256: "../../etc/passwd"}},
		"clash":    {{Path: "x", SHA256: sum}, {Path: "x/y", SHA256: sum}},
		"twice":    {{Path: "x", SHA256: sum}, {Path: "x", SHA256: sum}},
	} {
		err := artifacts.Download(ctx, s, artifacts.Output{Bucket: s.Bucket(), Files: files}, t.TempDir(), nil)
		if !errors.Is(err, artifacts.ErrInvalidName) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
