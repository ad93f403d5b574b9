package mcp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"boxfleet/artifacts"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// WorkDir is the directory that tools see at /. Exactly one of Dir and Source
// is set.
type WorkDir struct {
	// Dir is a directory of this machine. It is uploaded for each call, of
	// which the object store takes only what it has not; with ReadWrite what a
	// tool changed is written back.
	Dir string
	// Source is s3://bucket/prefix/ or sha256:<digest>. With ReadWrite, which
	// needs a prefix, the worker publishes what a tool changed below it.
	Source string
	// Mode is the most that a tool may do there: ReadOnly, ReadWrite or
	// Scratch. A tool whose level is below write gets no more than ReadOnly.
	Mode limits.Mode
}

func (w *WorkDir) validate() error {
	if w == nil {
		return nil
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("work dir: "+format, args...)
	}
	switch w.Mode {
	case limits.ReadOnly, limits.ReadWrite, limits.Scratch:
	default:
		return bad("mode %q: write ro, rw or scratch", w.Mode)
	}
	if (w.Dir == "") == (w.Source == "") {
		return bad("give a directory of this machine, or a source in the object store")
	}
	if w.Source != "" {
		src, err := artifacts.ParseSource(w.Source)
		if err != nil {
			return bad("%w", err)
		}
		if src.IsTree() && w.Mode == limits.ReadWrite {
			return bad("%s: an uploaded directory never changes; use an s3:// prefix for rw, or ro or scratch", w.Source)
		}
		return nil
	}
	info, err := os.Stat(w.Dir)
	switch {
	case err != nil:
		return bad("%w", err)
	case !info.IsDir():
		return bad("%s is no directory", w.Dir)
	}
	return nil
}

// unstaged stands for a digest that is not known before the call.
var unstaged = "sha256:" + strings.Repeat("0", 64)

// mount is the directory as a job mounts it, before it is staged.
func (w *WorkDir) mount() *limits.Mount {
	if w == nil {
		return nil
	}
	m := &limits.Mount{Source: w.Source, Mode: w.Mode}
	switch {
	case w.Dir != "":
		m.Source = unstaged
	case w.Mode == limits.ReadWrite:
		if m.Output = w.Source; !strings.HasSuffix(m.Output, "/") {
			m.Output += "/"
		}
	}
	return m
}

// workspace stages the work directory for calls. Calls that may change it run
// one at a time, from staging to writing back, so that none undoes another;
// those that read it run beside them and see it before or after a change,
// never between.
type workspace struct {
	dir    WorkDir
	store  *artifacts.Store
	writer *semaphore.Weighted
	files  sync.RWMutex
}

func newWorkspace(w WorkDir, store *artifacts.Store) *workspace {
	return &workspace{dir: w, store: store, writer: semaphore.NewWeighted(1)}
}

// staged is the work directory as one call got it. Nil has no files.
type staged struct {
	w      *workspace
	tree   artifacts.Digest // of a local directory
	writes bool
}

// stage pins the work directory in a job that may have it.
func (w *workspace) stage(ctx context.Context, j *jobs.Job) (*staged, error) {
	if w == nil || j.Options.WorkDir == nil {
		return nil, nil
	}
	m := *j.Options.WorkDir // the tool's options are shared by all its calls
	st := &staged{w: w, writes: m.Mode == limits.ReadWrite}
	if st.writes {
		if err := w.writer.Acquire(ctx, 1); err != nil {
			return nil, context.Cause(ctx)
		}
	}
	if w.dir.Dir != "" {
		w.files.RLock()
		digest, _, err := w.store.PutTree(ctx, w.dir.Dir, artifacts.TreeOptions{})
		w.files.RUnlock()
		if err != nil {
			st.release()
			return nil, fmt.Errorf("stage the work directory: %w", err)
		}
		st.tree, m.Source = digest, string(digest)
	}
	j.Options.WorkDir = &m
	return st, nil
}

// release lets the next call change the directory.
func (st *staged) release() {
	if st != nil && st.writes {
		st.w.writer.Release(1)
	}
}

// changes are what a call did to the work directory.
type changes struct {
	written, removed []string
	// kept are files that changed on this machine while the job ran, with why
	// the job's version is not there.
	kept []string
}

const (
	writeBackTimeout = 5 * time.Minute
	maxTreeDocument  = 64 << 20
)

// writeBack brings what the job left into a local directory. A file that has
// changed here since it was staged keeps what it has: the job knew nothing of
// that. Names come from a guest; every path is checked and opened below a
// handle of the directory that no link leads out of.
func (st *staged) writeBack(ctx context.Context, res *jobs.Result) (changes, error) {
	var c changes
	if st == nil || !st.writes || len(res.Outputs)+len(res.Deleted) == 0 {
		return c, nil
	}
	if st.w.dir.Dir == "" { // the worker has published them
		for _, f := range res.Outputs {
			c.written = append(c.written, f.Path)
		}
		return c, nil
	}
	// The job is done: an agent that hangs up now must not leave half of it.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), writeBackTimeout)
	defer stop()
	before, err := st.before(ctx)
	if err != nil {
		return c, err
	}
	st.w.files.Lock()
	defer st.w.files.Unlock()
	root, err := os.OpenRoot(st.w.dir.Dir)
	if err != nil {
		return c, err
	}
	defer root.Close()
	for _, p := range res.Deleted { // first: a file may have become a directory
		switch same, err := unchanged(root, p, before[p]); {
		case err != nil:
			c.kept = append(c.kept, fmt.Sprintf("%s: %v", p, err))
		case !same:
			c.kept = append(c.kept, p+": it changed here while the job ran, so it is not removed")
		default:
			if err := root.Remove(filepath.FromSlash(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return c, err
			}
			c.removed = append(c.removed, p)
		}
	}
	for _, f := range res.Outputs {
		switch same, err := unchanged(root, f.Path, before[f.Path]); {
		case err != nil:
			c.kept = append(c.kept, fmt.Sprintf("%s: %v", f.Path, err))
		case !same:
			c.kept = append(c.kept, f.Path+": it changed here while the job ran, so it is not overwritten")
		default:
			if err := st.fetch(ctx, root, res.OutputPrefix, f); err != nil {
				return c, fmt.Errorf("%s: %w", f.Path, err)
			}
			c.written = append(c.written, f.Path)
		}
	}
	return c, nil
}

// before gives the digests of the files as they were staged.
func (st *staged) before(ctx context.Context) (map[string]artifacts.Digest, error) {
	var doc bytes.Buffer
	if _, err := st.w.store.GetBlob(ctx, st.tree, maxTreeDocument, &doc); err != nil {
		return nil, err
	}
	tree, err := artifacts.DecodeTree(doc.Bytes(), artifacts.Limits{})
	if err != nil {
		return nil, err
	}
	before := make(map[string]artifacts.Digest, len(tree.Files))
	for _, f := range tree.Files {
		before[f.Path] = f.Digest
	}
	return before, nil
}

// unchanged tells whether a file is what was staged: absent when want is "".
func unchanged(root *os.Root, p string, want artifacts.Digest) (bool, error) {
	if err := artifacts.CheckPath(p); err != nil {
		return false, err
	}
	f, err := root.OpenFile(filepath.FromSlash(p), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return want == "", nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	d, _, err := artifacts.DigestReader(f)
	return d == want, err
}

// fetch downloads one output beside its place, checks it, and renames it.
func (st *staged) fetch(ctx context.Context, root *os.Root, prefix string, want artifacts.OutputFile) (err error) {
	bucket, key, err := artifacts.ParseObject(prefix)
	if err != nil {
		return err
	}
	name := filepath.FromSlash(want.Path)
	mode := os.FileMode(0o644)
	if info, err := root.Lstat(name); err == nil {
		mode = info.Mode().Perm()
	}
	if dir := filepath.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	part := filepath.Join(filepath.Dir(name), ".part-"+jobs.NewID())
	f, err := root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(part)
		}
	}()
	sum := sha256.New()
	n, err := st.w.store.GetTo(ctx, bucket, key+want.Path, want.Size, io.MultiWriter(f, sum))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != want.Size || got != want.SHA256 {
		return fmt.Errorf("%w: %d bytes with SHA-256 %s, the result says %d with %s", artifacts.ErrDigestMismatch, n, got, want.Size, want.SHA256)
	}
	return root.Rename(part, name)
}
