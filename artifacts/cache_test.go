package artifacts_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"boxfleet/artifacts"
	"boxfleet/internal/faultproxy"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

// use gets a blob, checks its content and lets it go. It returns whether it was
// a hit.
func use(t *testing.T, c *artifacts.Cache, s *artifacts.Store, body string) bool {
	t.Helper()
	hit, err := tryUse(t.Context(), c, s, body)
	if err != nil {
		t.Fatal(err)
	}
	return hit
}

func tryUse(ctx context.Context, c *artifacts.Cache, s *artifacts.Store, body string) (bool, error) {
	b, hit, err := c.Blob(ctx, s, artifacts.DigestBytes([]byte(body)), 1<<20)
	if err != nil {
		return hit, err
	}
	defer b.Release()
	got, err := os.ReadFile(b.Path)
	if err == nil && (string(got) != body || b.Size != int64(len(body))) {
		err = fmt.Errorf("blob of %d bytes holds %.40q, want %.40q", b.Size, got, body)
	}
	return hit, err
}

func TestCacheHit(t *testing.T) {
	t.Parallel()
	s, proxy := proxied(t)
	putBlob(t, s, "content")
	c := mustOpenCache(t, t.TempDir(), 1000)
	if use(t, c, s, "content") {
		t.Error("the first use is a hit")
	}
	proxy.Requests()
	if !use(t, c, s, "content") {
		t.Error("the second use is none")
	}
	if r := proxy.Requests(); len(r) != 0 {
		t.Errorf("a hit made requests: %q", r)
	}
	_, _, err := c.Blob(t.Context(), s, artifacts.DigestBytes([]byte("content")), 6)
	wantError(t, err, artifacts.ErrTooLarge, artifacts.Permanent)
	_, _, err = c.Blob(t.Context(), s, artifacts.DigestBytes([]byte("missing")), 6)
	wantError(t, err, artifacts.ErrNotFound, artifacts.Permanent)
	_, _, err = c.Blob(t.Context(), s, "sha256:../../../etc/passwd", 6)
	wantError(t, err, artifacts.ErrInvalidName, artifacts.Permanent)
	if st := c.Stats(); st.Hits != 2 || st.Misses != 1 || st.Blobs != 1 || st.Bytes != 7 {
		t.Errorf("stats %+v", st)
	}
}

func TestCacheJoinsFetches(t *testing.T) {
	t.Parallel()
	s, proxy := proxied(t)
	d := putBlob(t, s, "popular")
	c := mustOpenCache(t, t.TempDir(), 1000)
	gate := make(chan struct{})
	proxy.Set(faultproxy.Fault{Name: "download", Match: faultproxy.Method("GET", ""), Rewrite: func(b []byte) []byte {
		<-gate
		return b
	}})

	// The first to ask leaves; the others still get the blob, of one download.
	first, leave := context.WithCancel(t.Context())
	started := make(chan error, 1)
	go func() {
		_, _, err := c.Blob(first, s, d, 1000)
		started <- err
	}()
	waitFor(t, func() bool { return proxy.Count("download") == 1 })
	var g errgroup.Group
	const others = 20
	for range others {
		g.Go(func() error { _, err := tryUse(t.Context(), c, s, "popular"); return err })
	}
	waitFor(t, func() bool { return c.Stats().Joined == others })
	leave()
	if err := <-started; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	close(gate)
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if n := proxy.Count("download"); n != 1 {
		t.Errorf("%d downloads", n)
	}
	if st := c.Stats(); st.Misses != 1 || st.Blobs != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestCacheAbandonedFetchEnds(t *testing.T) {
	t.Parallel()
	// With no stall timeout to speak of, only the end of the callers ends it.
	s, proxy := proxied(t, func(c *artifacts.Config) { c.StallTimeout = time.Hour })
	d := putBlob(t, s, "abandoned")
	c := mustOpenCache(t, t.TempDir(), 1000)
	proxy.Set(faultproxy.Fault{Name: "stalled", Stall: true, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, _, err := c.Blob(ctx, s, d, 1000); done <- err }()
	waitFor(t, func() bool { return proxy.Count("stalled") == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || artifacts.Class(err) != artifacts.Transient {
		t.Fatalf("abandoned: %v", err)
	}
	patient, enough := context.WithTimeout(t.Context(), 20*time.Second)
	defer enough()
	if _, err := tryUse(patient, c, s, "abandoned"); err != nil {
		t.Fatal(err)
	}
	if st := c.Stats(); st.Bytes != 9 {
		t.Errorf("the abandoned fetch still counts: %+v", st)
	}
}

func TestCacheEviction(t *testing.T) {
	t.Parallel()
	s := server.Store(t)
	body := func(i int) string { return fmt.Sprintf("blob %04d.", i) } // 10 bytes
	for i := range 12 {
		putBlob(t, s, body(i))
	}
	putBlob(t, s, repeat("x", 101))
	dir := t.TempDir()
	c := mustOpenCache(t, dir, 100)
	for i := range 10 {
		use(t, c, s, body(i))
	}
	use(t, c, s, body(0)) // now 1 is the oldest
	use(t, c, s, body(10))
	if !use(t, c, s, body(0)) || use(t, c, s, body(1)) {
		t.Error("the least recently used blob is not the one that went")
	}
	if st := c.Stats(); st.Bytes != 100 || st.Blobs != 10 || st.Evicted != 2 || diskUse(t, dir) != 100 {
		t.Errorf("stats %+v, on disk %d", st, diskUse(t, dir))
	}

	// What is in use stays, and when all is, there is no room.
	var pins []*artifacts.Blob
	for i := range 10 {
		b, _, err := c.Blob(t.Context(), s, artifacts.DigestBytes([]byte(body(i))), 100)
		if err != nil {
			t.Fatal(err)
		}
		pins = append(pins, b)
	}
	_, err := tryUse(t.Context(), c, s, body(11))
	wantError(t, err, artifacts.ErrNoSpace, artifacts.Transient, "in use")
	for _, p := range pins {
		if _, err := os.Stat(p.Path); err != nil {
			t.Error(err)
		}
		p.Release()
		p.Release() // once more does no harm
	}
	use(t, c, s, body(11))
	_, err = tryUse(t.Context(), c, s, repeat("x", 101))
	wantError(t, err, artifacts.ErrTooLarge, artifacts.Permanent, "cache of 100")
}

func TestCacheSurvivesRestart(t *testing.T) {
	t.Parallel()
	s, proxy := proxied(t)
	dir := t.TempDir()
	bodies := []string{"blob 0", "blob 1", "blob 2", "blob 3"}
	c, err := artifacts.OpenCache(dir, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range bodies {
		putBlob(t, s, b)
		use(t, c, s, b)
		// Distinct access times, in another order than that of the names.
		at := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(blobPath(c, b), at, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	// Litter of a process that was killed, and files of nobody's.
	write(t, dir, map[string]string{"tmp/blob-1": "half", "tmp/tree-1/root/x": "half", "blobs/zz/name": "x", "blobs/stray": "x", "trees/" + repeat("a", 64) + "/f": "x"})

	c = mustOpenCache(t, dir, 12) // room for two
	if st := c.Stats(); st.Blobs != 2 || st.Bytes != 12 || diskUse(t, dir) != 12 {
		t.Fatalf("after the restart: %+v, %d bytes on disk", st, diskUse(t, dir))
	}
	proxy.Requests()
	if !use(t, c, s, bodies[3]) || !use(t, c, s, bodies[2]) {
		t.Error("the two used last are not the ones that stayed")
	}
	if r := proxy.Requests(); len(r) != 0 {
		t.Errorf("requests: %q", r)
	}
}

func TestCacheNoticesDamage(t *testing.T) {
	t.Parallel()
	s := server.Store(t)
	const body = "the right content"
	putBlob(t, s, body)
	for _, restart := range []bool{false, true} {
		for name, damage := range map[string]func(path string) error{
			"overwritten": func(p string) error { return overwrite(p, "the wrong content") },
			"truncated":   func(p string) error { return os.Truncate(p, 3) },
			"extended":    func(p string) error { return overwrite(p, body+"!") },
			"emptied":     func(p string) error { return os.Truncate(p, 0) },
			"deleted":     os.Remove,
			"a link":      func(p string) error { return errors.Join(os.Remove(p), os.Symlink("/etc/passwd", p)) },
			"a directory": func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
		} {
			t.Run(fmt.Sprintf("%s restart=%v", name, restart), func(t *testing.T) {
				dir := t.TempDir()
				c, err := artifacts.OpenCache(dir, 100)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = c.Close() }()
				use(t, c, s, body)
				before, err := os.Stat(blobPath(c, body))
				if err != nil {
					t.Fatal(err)
				}
				if restart {
					if err := c.Close(); err != nil {
						t.Fatal(err)
					}
				}
				if err := damage(blobPath(c, body)); err != nil {
					t.Fatal(err)
				}
				if restart {
					// Even when the times tell nothing.
					_ = os.Chtimes(blobPath(c, body), before.ModTime(), before.ModTime())
					if c, err = artifacts.OpenCache(dir, 100); err != nil {
						t.Fatal(err)
					}
				}
				if use(t, c, s, body) {
					t.Error("a damaged blob was a hit")
				}
				if !use(t, c, s, body) {
					t.Error("it was not replaced")
				}
				if st := c.Stats(); st.Bytes != int64(len(body)) || st.Blobs != 1 {
					t.Errorf("stats %+v", st)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestCacheTamperedObject(t *testing.T) {
	t.Parallel()
	s, proxy := proxied(t)
	d := putBlob(t, s, "the right content")
	c := mustOpenCache(t, t.TempDir(), 1000)
	flip := func(b []byte) []byte { b[0] ^= 1; return b }
	proxy.Set(faultproxy.Fault{Name: "once", Times: 1, Rewrite: flip})
	use(t, c, s, "the right content")
	if proxy.Count("once") != 1 {
		t.Error("the fault did not strike")
	}

	proxy.Set()
	if err := s.Put(t.Context(), "", d.Key(), []byte("the wrong content")); err != nil {
		t.Fatal(err)
	}
	fresh := mustOpenCache(t, t.TempDir(), 1000)
	proxy.Requests()
	_, err := tryUse(t.Context(), fresh, s, "the right content")
	wantError(t, err, artifacts.ErrDigestMismatch, artifacts.Permanent, string(d))
	if r := proxy.Requests(); len(r) != 2 {
		t.Errorf("fetched %d times, want once more than once", len(r))
	}
	if st := fresh.Stats(); st.Bytes != 0 || diskUse(t, fresh.Dir()) != 0 {
		t.Errorf("it stayed: %+v", st)
	}
}

func TestCacheBrokenDownloads(t *testing.T) {
	t.Parallel()
	s, proxy := proxied(t, func(c *artifacts.Config) { c.Tries = 3 })
	body := repeat("content ", 10_000)
	putBlob(t, s, body)
	c := mustOpenCache(t, t.TempDir(), 1<<20)
	proxy.Set(faultproxy.Fault{Name: "cut", TruncateBody: true, Times: 2})
	use(t, c, s, body)
	if proxy.Count("cut") != 2 {
		t.Errorf("the fault struck %d times", proxy.Count("cut"))
	}
	proxy.Set(faultproxy.Fault{TruncateBody: true})
	fresh := mustOpenCache(t, t.TempDir(), 1<<20)
	_, err := tryUse(t.Context(), fresh, s, body)
	wantError(t, err, artifacts.ErrUnavailable, artifacts.Transient)
	if st := fresh.Stats(); st.Bytes != 0 || diskUse(t, fresh.Dir()) != 0 {
		t.Errorf("half a blob stayed: %+v, %d bytes on disk", st, diskUse(t, fresh.Dir()))
	}
}

func TestCacheTree(t *testing.T) {
	t.Parallel()
	s, proxy := proxied(t)
	src := t.TempDir()
	want := map[string]string{"a": "same", "b/c": "same", "b/d": "other", "e": ""}
	write(t, src, want)
	d, _, err := s.PutTree(t.Context(), src, artifacts.TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c, err := artifacts.OpenCache(dir, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	tree := func() (*artifacts.TreeDir, bool) {
		t.Helper()
		tr, hit, err := c.Tree(t.Context(), s, d, artifacts.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, readDir(t, tr.Dir)); diff != "" {
			t.Errorf("tree (-want +got):\n%s", diff)
		}
		return tr, hit
	}
	one, hit := tree()
	two, hitAgain := tree()
	if hit || !hitAgain || one.Dir != two.Dir {
		t.Errorf("hits %v then %v, in %s and %s", hit, hitAgain, one.Dir, two.Dir)
	}
	if st, err := os.Stat(filepath.Join(one.Dir, "b/d")); err != nil || st.Mode().Perm() != 0o444 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	_, _, err = c.Tree(t.Context(), s, d, artifacts.Limits{Bytes: 5})
	wantError(t, err, artifacts.ErrTooLarge, artifacts.Permanent)
	_, _, err = c.Tree(t.Context(), s, d, artifacts.Limits{Files: 3})
	wantError(t, err, artifacts.ErrTooLarge, artifacts.Permanent)

	// The links cost nothing: what is used is the blobs and the document.
	st := c.Stats()
	if st.Trees != 1 || st.Blobs != 4 || st.Bytes != diskUse(t, filepath.Join(dir, "blobs")) {
		t.Errorf("stats %+v", st)
	}
	one.Release()
	two.Release()

	// After a restart it is rebuilt from blobs, without a request.
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err = artifacts.OpenCache(dir, 10_000); err != nil {
		t.Fatal(err)
	}
	proxy.Requests()
	three, hit := tree()
	if r := proxy.Requests(); len(r) != 0 || !hit {
		t.Errorf("after the restart: hit %v, requests %q", hit, r)
	}

	// A damaged blob takes the tree along, though not from under a job.
	if err := overwrite(filepath.Join(three.Dir, "b/d"), "0ther"); err != nil {
		t.Fatal(err)
	}
	if use(t, c, s, "other") {
		t.Error("the damaged blob was a hit")
	}
	_, _, err = c.Tree(t.Context(), s, d, artifacts.Limits{})
	wantError(t, err, artifacts.ErrUnavailable, artifacts.Transient, "in use")
	three.Release()
	four, _ := tree()
	four.Release()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCacheTreeEviction(t *testing.T) {
	t.Parallel()
	s := server.Store(t)
	tree := func(name string) artifacts.Digest {
		dir := t.TempDir()
		write(t, dir, map[string]string{"f": repeat(name, 1000)})
		d, _, err := s.PutTree(t.Context(), dir, artifacts.TreeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	a, b, big := tree("a"), tree("b"), tree("bigger than all")
	c := mustOpenCache(t, t.TempDir(), 1500)
	get := func(d artifacts.Digest) (*artifacts.TreeDir, error) {
		tr, _, err := c.Tree(t.Context(), s, d, artifacts.Limits{})
		return tr, err
	}
	first, err := get(a)
	if err != nil {
		t.Fatal(err)
	}
	_, err = get(b)
	wantError(t, err, artifacts.ErrNoSpace, artifacts.Transient)
	if got := readDir(t, first.Dir)["f"]; got != repeat("a", 1000) {
		t.Error("a tree in use was evicted")
	}
	first.Release()
	second, err := get(b)
	if err != nil {
		t.Fatal(err)
	}
	second.Release()
	if _, err := os.Stat(first.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the evicted tree is still there: %v", err)
	}
	_, err = get(big)
	wantError(t, err, artifacts.ErrTooLarge, artifacts.Permanent)
	if st := c.Stats(); st.Bytes > 1500 {
		t.Errorf("stats %+v", st)
	}
}

// Many users of a cache far too small for what they use.
func TestCacheUnderPressure(t *testing.T) {
	t.Parallel()
	s := server.Store(t)
	const n = 30
	bodies := make([]string, n)
	trees := make([]artifacts.Digest, n/5)
	for i := range bodies {
		bodies[i] = repeat(string(rune('a'+i)), 100)
		putBlob(t, s, bodies[i])
	}
	for i := range trees {
		dir := t.TempDir()
		write(t, dir, map[string]string{"one": bodies[5*i], "two": bodies[5*i+1]})
		d, _, err := s.PutTree(t.Context(), dir, artifacts.TreeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		trees[i] = d
	}
	dir := t.TempDir()
	c := mustOpenCache(t, dir, 1500)
	var g errgroup.Group
	for worker := range 8 {
		g.Go(func() error {
			r := rand.New(rand.NewPCG(1, uint64(worker)))
			for range 60 {
				ctx, cancel := context.WithCancel(t.Context())
				if r.IntN(10) == 0 {
					cancel()
				}
				var err error
				if k := r.IntN(n + len(trees)); k < n {
					_, err = tryUse(ctx, c, s, bodies[k])
				} else {
					err = useTree(ctx, c, s, trees[k-n], bodies[5*(k-n)])
				}
				cancel()
				if err != nil && !errors.Is(err, artifacts.ErrNoSpace) && !errors.Is(err, context.Canceled) {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	// Discarded trees may still be on their way out: closing waits for them.
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	st := c.Stats()
	if used := diskUse(t, filepath.Join(dir, "blobs")); st.Bytes != used || used > 1500 || st.Evicted == 0 || st.Hits == 0 {
		t.Errorf("%d bytes on disk, stats %+v", used, st)
	}
	if _, err := tryUse(t.Context(), c, s, bodies[0]); err == nil {
		t.Error("a closed cache answers")
	}
}

func useTree(ctx context.Context, c *artifacts.Cache, s *artifacts.Store, d artifacts.Digest, one string) error {
	tr, _, err := c.Tree(ctx, s, d, artifacts.Limits{})
	if err != nil {
		return err
	}
	defer tr.Release()
	b, err := os.ReadFile(filepath.Join(tr.Dir, "one"))
	if err == nil && string(b) != one {
		err = fmt.Errorf("tree holds %.10q, want %.10q", b, one)
	}
	return err
}

func TestCacheIsLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := mustOpenCache(t, dir, 100)
	_, err := artifacts.OpenCache(dir, 100)
	wantError(t, err, artifacts.ErrLocked, artifacts.Transient, dir, fmt.Sprint(os.Getpid()))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpenCache(t, dir, 100)
	if _, err := artifacts.OpenCache(t.TempDir(), 0); !errors.Is(err, artifacts.ErrInvalid) {
		t.Errorf("no bound: %v", err)
	}
}

func TestCacheCloseEndsFetches(t *testing.T) {
	t.Parallel()
	s, proxy := proxied(t)
	d := putBlob(t, s, "content")
	c, err := artifacts.OpenCache(t.TempDir(), 100)
	if err != nil {
		t.Fatal(err)
	}
	proxy.Set(faultproxy.Fault{Name: "stalled", Stall: true})
	done := make(chan error, 1)
	go func() { _, _, err := c.Blob(t.Context(), s, d, 100); done <- err }()
	waitFor(t, func() bool { return proxy.Count("stalled") == 1 })
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err == nil || artifacts.Class(err) != artifacts.Transient {
		t.Errorf("the caller got %v", err)
	}
}

// overwrite changes a file although it is read-only.
func overwrite(path, content string) error {
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o600)
}

func blobPath(c *artifacts.Cache, body string) string {
	h := artifacts.DigestBytes([]byte(body)).Hex()
	return filepath.Join(c.Dir(), "blobs", h[:2], h)
}

// diskUse sums the files below dir, but for the lock.
func diskUse(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "lock" {
			return err
		}
		st, err := e.Info()
		n += st.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// waitFor polls for a condition that other goroutines bring about.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatal("waited 20 s in vain")
		}
		time.Sleep(time.Millisecond)
	}
}
