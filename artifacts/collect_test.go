package artifacts_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/artifacts"
	"boxfleet/internal/faultproxy"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func mkfifo(path string) error { return unix.Mkfifo(path, 0o600) }

func TestCollect(t *testing.T) {
	t.Parallel()
	s := server.Store(t)
	ctx := t.Context()
	dir := t.TempDir()
	want := map[string]string{"out.txt": "result", "deep/er/x": "y", "nothing": "", "with space": repeat("z", 100_000)}
	write(t, dir, want)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("the host's"), 0o600); err != nil {
		t.Fatal(err)
	}
	sock, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	if err := errors.Join(
		os.Symlink(secret, filepath.Join(dir, "link")),
		os.Symlink(filepath.Dir(secret), filepath.Join(dir, "dirlink")),
		os.Symlink("out.txt", filepath.Join(dir, "deep", "inner-link")),
		mkfifo(filepath.Join(dir, "pipe")), // opening it would wait for ever
		os.WriteFile(filepath.Join(dir, "line\nbreak"), []byte("x"), 0o600),
		os.WriteFile(filepath.Join(dir, "\xff\xfe"), []byte("x"), 0o600),
		os.Mkdir(filepath.Join(dir, "bad\x01dir"), 0o700),
		os.WriteFile(filepath.Join(dir, "bad\x01dir", "inside"), []byte("x"), 0o600),
		os.Mkdir(filepath.Join(dir, "hollow"), 0o700),
	); err != nil {
		t.Fatal(err)
	}
	out, err := artifacts.Collect(ctx, artifacts.CollectRequest{Store: s, Dir: dir, Guest: "/out", Prefix: "out/job/1/", Trusted: true})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for i, f := range out.Files {
		b, err := s.Get(ctx, out.Bucket, out.Prefix+f.Path, 1<<20)
		if err != nil || int64(len(b)) != f.Size || artifacts.DigestBytes(b).Hex() != f.SHA256 {
			t.Errorf("%s: %d bytes of %d, %v", f.Path, len(b), f.Size, err)
		}
		got[f.Path] = string(b)
		if i > 0 && out.Files[i-1].Path >= f.Path {
			t.Errorf("%q follows %q", f.Path, out.Files[i-1].Path)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("collected (-want +got):\n%s", diff)
	}
	n := 0
	for range s.List(ctx, "", "") {
		n++
	}
	if n != len(want) {
		t.Errorf("%d objects stored, want %d", n, len(want))
	}
	refused := map[string]string{}
	for _, r := range out.Refused {
		refused[r.Path] = r.Reason
	}
	for path, word := range map[string]string{
		"link": "symbolic", "dirlink": "symbolic", "deep/inner-link": "symbolic", "pipe": "not a regular file", "socket": "not a regular file",
		`"line\nbreak"`: "key", `"\xff\xfe"`: "key", `"bad\x01dir"`: "key",
	} {
		if !strings.Contains(refused[path], word) {
			t.Errorf("%s refused because %q, want %q", path, refused[path], word)
		}
	}
	if len(refused) != 8 || out.RefusedCount != 8 || out.Bytes != 100_007 || out.Guest != "/out" {
		t.Errorf("refused %v; output %+v", refused, out)
	}
	if b, err := json.Marshal(out); err != nil || bytes.Contains(b, []byte("the host's")) {
		t.Errorf("%s, %v", b, err)
	}
}

func TestCollectRefuses(t *testing.T) {
	t.Parallel()
	s := server.Store(t)
	dir := t.TempDir()
	write(t, dir, map[string]string{"a": "12345", "b/c/d": "12345"})
	huge := t.TempDir()
	f, err := os.Create(filepath.Join(huge, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(1<<40), f.Close()); err != nil { // costs the guest nothing
		t.Fatal(err)
	}
	links := t.TempDir()
	for _, n := range strings.Split("abcdefghi", "") {
		if err := os.Symlink("x", filepath.Join(links, n)); err != nil {
			t.Fatal(err)
		}
	}
	bottomless := t.TempDir()
	if err := os.MkdirAll(filepath.Join(bottomless, repeat("d/", 200)), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		req  artifacts.CollectRequest
		kind error
		word string
	}{
		{"bytes", artifacts.CollectRequest{Dir: dir, Limits: artifacts.Limits{Bytes: 9}}, artifacts.ErrTooLarge, "9"},
		{"files", artifacts.CollectRequest{Dir: dir, Limits: artifacts.Limits{Files: 1}}, artifacts.ErrTooLarge, "more than"},
		{"depth", artifacts.CollectRequest{Dir: dir, Limits: artifacts.Limits{Depth: 2}}, artifacts.ErrTooLarge, "deep"},
		{"sparse", artifacts.CollectRequest{Dir: huge}, artifacts.ErrTooLarge, "sparse"},
		{"links", artifacts.CollectRequest{Dir: links, Limits: artifacts.Limits{Files: 4}}, artifacts.ErrTooLarge, "8 files, links"},
		{"bottomless", artifacts.CollectRequest{Dir: bottomless}, artifacts.ErrTooLarge, "deep"},
		{"prefix", artifacts.CollectRequest{Dir: dir, Prefix: "no/slash"}, artifacts.ErrInvalidName, "slash"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.req.Store, tc.req.Trusted = s, true
			_, err := artifacts.Collect(t.Context(), tc.req)
			wantError(t, err, tc.kind, artifacts.Permanent, tc.word)
		})
	}
	_, err = artifacts.Collect(t.Context(), artifacts.CollectRequest{Store: s, Dir: dir, Prefix: "out/", Tenant: "al"})
	wantError(t, err, artifacts.ErrAccess, artifacts.Permanent, "al", "write")
	for o := range s.List(t.Context(), "", "") {
		t.Errorf("%s was stored", o.Key)
	}
}

func TestCollectWhenStorageFails(t *testing.T) {
	t.Parallel()
	s, proxy := proxied(t, func(c *artifacts.Config) { c.Tries = 2 })
	dir := t.TempDir()
	write(t, dir, map[string]string{"a": "1", "b": "2", "c": "3"})
	req := artifacts.CollectRequest{Store: s, Dir: dir, Prefix: "out/", Trusted: true}
	proxy.Set(faultproxy.Fault{Match: faultproxy.Method("PUT", "out/b"), Status: 503, Code: "SlowDown"})
	_, err := artifacts.Collect(t.Context(), req)
	wantError(t, err, artifacts.ErrUnavailable, artifacts.Transient, "out/b")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := artifacts.Collect(ctx, req); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	proxy.Set()
	if out, err := artifacts.Collect(t.Context(), req); err != nil || len(out.Files) != 3 {
		t.Errorf("once storage works: %+v, %v", out, err)
	}
}
