package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"boxfleet/artifacts"

	"golang.org/x/sync/errgroup"
)

// Run checks that a store does what boxfleet relies on. The store's bucket must
// be empty and is left with objects in it.
func Run(t *testing.T, s *artifacts.Store) {
	t.Run("objects", func(t *testing.T) { testObjects(t, s) })
	t.Run("conditional put", func(t *testing.T) { testConditionalPut(t, s) })
	t.Run("missing", func(t *testing.T) { testMissing(t, s) })
	t.Run("listing", func(t *testing.T) { testListing(t, s) })
	t.Run("blobs", func(t *testing.T) { testBlobs(t, s) })
	t.Run("multipart", func(t *testing.T) { testMultipart(t, s) })
	t.Run("manifest", func(t *testing.T) { testManifest(t, s) })
	t.Run("delete prefix", func(t *testing.T) { testDeletePrefix(t, s) })
}

func testObjects(t *testing.T, s *artifacts.Store) {
	ctx := t.Context()
	for _, key := range []string{
		"plain", "deep/er/and/deeper", "with space", "plus+and%25percent", "ünïcode/文字", "q?a=b&c#d", "tilde~(x)!'*",
		strings.Repeat("long/", 100) + "end",
	} {
		for _, body := range []string{"", "x", strings.Repeat("content ", 1000)} {
			if err := s.Put(ctx, "", key, []byte(body)); err != nil {
				t.Fatalf("put %q: %v", key, err)
			}
			got, err := s.Get(ctx, "", key, 1<<20)
			if err != nil || string(got) != body {
				t.Fatalf("get %q: %d bytes, %v; want %d", key, len(got), err, len(body))
			}
			obj, err := s.Stat(ctx, "", key)
			if err != nil || obj.Size != int64(len(body)) || obj.Key != key || obj.Modified.IsZero() {
				t.Fatalf("stat %q: %+v, %v", key, obj, err)
			}
		}
		if _, err := s.Get(ctx, "", key, 7999); !errors.Is(err, artifacts.ErrTooLarge) {
			t.Fatalf("get %q over the limit: %v", key, err)
		}
		if err := s.Delete(ctx, "", key); err != nil {
			t.Fatalf("delete %q: %v", key, err)
		}
		if _, err := s.Stat(ctx, "", key); !errors.Is(err, artifacts.ErrNotFound) {
			t.Fatalf("stat deleted %q: %v", key, err)
		}
		if err := s.Delete(ctx, "", key); err != nil {
			t.Fatalf("delete %q again: %v", key, err)
		}
	}
}

func testConditionalPut(t *testing.T, s *artifacts.Store) {
	ctx := t.Context()
	if err := s.CheckConditionalPut(ctx); err != nil {
		t.Fatal(err)
	}
	for range s.List(ctx, "", "probes/") {
		t.Error("the probe stayed")
	}
	for round := range 5 {
		key := fmt.Sprintf("conditional/%d", round)
		var won atomic.Int64
		var winner atomic.Int64
		var g errgroup.Group
		for i := range 12 {
			g.Go(func() error {
				err := s.PutIfAbsent(ctx, "", key, fmt.Appendf(nil, "writer %d", i))
				switch {
				case err == nil:
					won.Add(1)
					winner.Store(int64(i))
				case !errors.Is(err, artifacts.ErrExists):
					return err
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		got, err := s.Get(ctx, "", key, 100)
		if err != nil || won.Load() != 1 || string(got) != fmt.Sprintf("writer %d", winner.Load()) {
			t.Fatalf("%d writers won, the last was %d, stored %q, %v", won.Load(), winner.Load(), got, err)
		}
	}
}

func testMissing(t *testing.T, s *artifacts.Store) {
	ctx := t.Context()
	_, err := s.Get(ctx, "", "no/such/key", 10)
	if !errors.Is(err, artifacts.ErrNotFound) || artifacts.Class(err) != artifacts.Permanent || !strings.Contains(err.Error(), "no/such/key") {
		t.Errorf("missing object: %v", err)
	}
	_, err = s.Get(ctx, "no-such-bucket-here", "key", 10)
	if !errors.Is(err, artifacts.ErrNotFound) || artifacts.Class(err) != artifacts.Permanent || !strings.Contains(err.Error(), "no-such-bucket-here") {
		t.Errorf("missing bucket: %v", err)
	}
	for range s.List(ctx, "", "nothing/here/") {
		t.Error("a prefix without objects lists some")
	}
}

func testListing(t *testing.T, s *artifacts.Store) {
	ctx := t.Context()
	const n = 1101
	var g errgroup.Group
	g.SetLimit(8)
	want := make([]string, n)
	for i := range n {
		want[i] = fmt.Sprintf("listing/%d/%04d", i%3, i)
		g.Go(func() error { return s.Put(ctx, "", want[i], []byte("x")) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	var got []string
	for o, err := range s.List(ctx, "", "listing/") {
		if err != nil {
			t.Fatal(err)
		}
		if o.Size != 1 {
			t.Fatalf("%s has size %d", o.Key, o.Size)
		}
		got = append(got, o.Key)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("listed %d keys of %d, or in another order", len(got), n)
	}
	seen := 0
	for range s.List(ctx, "", "listing/") {
		if seen++; seen == 3 {
			break
		}
	}
}

func testBlobs(t *testing.T, s *artifacts.Store) {
	ctx := t.Context()
	body := []byte("the content of a blob")
	d, err := s.PutBlobBytes(ctx, body)
	if err != nil || d != artifacts.DigestBytes(body) {
		t.Fatalf("put blob: %s, %v", d, err)
	}
	before, err := s.Stat(ctx, "", d.Key())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.PutBlobBytes(ctx, body); err != nil || again != d {
		t.Fatalf("put blob again: %s, %v", again, err)
	}
	after, err := s.Stat(ctx, "", d.Key())
	if err != nil || !after.Modified.Equal(before.Modified) {
		t.Fatalf("a blob that was there was sent again: %v then %v, %v", before.Modified, after.Modified, err)
	}
	var buf bytes.Buffer
	if n, err := s.GetBlob(ctx, d, 100, &buf); err != nil || n != int64(len(body)) || buf.String() != string(body) {
		t.Fatalf("get blob: %d bytes %q, %v", n, buf.String(), err)
	}
	if _, err := s.GetBlob(ctx, d, int64(len(body))-1, io.Discard); !errors.Is(err, artifacts.ErrTooLarge) {
		t.Fatalf("get blob over the limit: %v", err)
	}
	if err := s.Put(ctx, "", d.Key(), []byte("the content of a blub")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GetBlob(ctx, d, 100, io.Discard); !errors.Is(err, artifacts.ErrDigestMismatch) || artifacts.Class(err) != artifacts.Permanent {
		t.Fatalf("get a tampered blob: %v", err)
	}
}

func testMultipart(t *testing.T, s *artifacts.Store) {
	ctx := t.Context()
	// Two parts of the store's 16 MiB and a rest, of bytes that do not repeat.
	body := make([]byte, 33<<20+5)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(body)
	d, err := s.PutBlob(ctx, bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.GetBlob(ctx, d, 64<<20, io.Discard); err != nil || n != int64(len(body)) {
		t.Fatalf("get: %d bytes, %v", n, err)
	}
}

func testManifest(t *testing.T, s *artifacts.Store) {
	ctx := t.Context()
	const key = "results/job-1/manifest.json"
	if _, err := s.ReadManifest(ctx, "", key); !errors.Is(err, artifacts.ErrNotFound) {
		t.Fatalf("read before commit: %v", err)
	}
	first := artifacts.Manifest{Job: "job-1", Attempt: 1, Worker: "a"}
	second := artifacts.Manifest{Job: "job-1", Attempt: 2, Worker: "b"}
	for _, tc := range []struct {
		name      string
		m         artifacts.Manifest
		committed bool
	}{
		{"the first attempt wins", first, true},
		{"another loses", second, false},
		{"the first may ask again", first, true},
	} {
		m, committed, err := s.CommitManifest(ctx, "", key, tc.m)
		if err != nil || committed != tc.committed || m.Attempt != 1 || m.Worker != "a" {
			t.Fatalf("%s: %+v, committed %v, %v", tc.name, m, committed, err)
		}
	}
}

func testDeletePrefix(t *testing.T, s *artifacts.Store) {
	ctx := t.Context()
	var g errgroup.Group
	g.SetLimit(8)
	const n = 1002 // more than one request deletes
	for i := range n {
		g.Go(func() error { return s.Put(ctx, "", fmt.Sprintf("gone/1/%04d", i), nil) })
	}
	for _, key := range []string{"gone/10/x", "gone/2", "gone/1x"} {
		g.Go(func() error { return s.Put(ctx, "", key, nil) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if deleted, err := s.DeletePrefix(ctx, "", "gone/1/"); err != nil || deleted != n {
		t.Fatalf("deleted %d, %v", deleted, err)
	}
	var left []string
	for o, err := range s.List(ctx, "", "gone/") {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, o.Key)
	}
	if want := []string{"gone/10/x", "gone/1x", "gone/2"}; !slices.Equal(left, want) {
		t.Fatalf("left %q, want %q", left, want)
	}
	for _, prefix := range []string{"", "/", "gone", "gone/1"} {
		if _, err := s.DeletePrefix(ctx, "", prefix); !errors.Is(err, artifacts.ErrInvalidName) {
			t.Fatalf("delete prefix %q: %v", prefix, err)
		}
	}
}
