package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"
)

// TreeDir is a tree staged in the cache, in use: it stays until Release.
type TreeDir struct {
	Digest Digest
	Dir    string // shared by every job that uses the tree: for read-only mounts
	Tree   *Tree

	release func()
}

// Release ends the use. It may be called more than once.
func (t *TreeDir) Release() { t.release() }

// Tree returns a directory with the tree's files, staged once and shared by all
// jobs that mount it read-only, and whether it was there. Its files are links to
// cached blobs, mode 0444, so that it costs no space of its own.
//
// Limits bound the tree as in [Stage]; one that does not fit into the cache is
// ErrTooLarge.
func (c *Cache) Tree(ctx context.Context, s *Store, d Digest, limits Limits) (*TreeDir, bool, error) {
	if _, err := ParseDigest(string(d)); err != nil {
		return nil, false, err
	}
	limits = limits.WithDefaults()
	e, hit, err := c.get(ctx, entryKey{digest: d, tree: true}, limits.Bytes, func(ctx context.Context, limit int64) (*entry, bool, error) {
		return c.loadTree(ctx, s, d)
	})
	if err != nil {
		return nil, hit, err
	}
	t := &TreeDir{Digest: d, Dir: c.treePath(d), Tree: e.tree, release: sync.OnceFunc(func() { c.unpin(e) })}
	// The load is shared, the limits are each caller's own.
	if err := t.Tree.within(limits); err != nil {
		t.Release()
		return nil, hit, fmt.Errorf("tree %s: %w", d, err)
	}
	return t, hit, nil
}

// within checks a decoded tree against limits.
func (t *Tree) within(limits Limits) error {
	count := tally{limits: limits}
	for _, f := range t.Files {
		if err := count.add(f.Path, f.Size); err != nil {
			return err
		}
	}
	return nil
}

// readTree returns a tree's document, from the cache if there is one.
func readTree(ctx context.Context, s *Store, c *Cache, d Digest) (doc []byte, hit bool, err error) {
	if c == nil {
		doc, err = s.Get(ctx, "", d.Key(), maxTreeBytes)
		if err == nil && DigestBytes(doc) != d {
			err = &Error{Op: "get", Bucket: s.cfg.Bucket, Key: d.Key(), Kind: ErrDigestMismatch, Err: fmt.Errorf("content is %s", DigestBytes(doc))}
		}
		return doc, false, err
	}
	b, hit, err := c.Blob(ctx, s, d, maxTreeBytes)
	if err != nil {
		return nil, hit, err
	}
	defer b.Release()
	doc, err = os.ReadFile(b.Path)
	return doc, hit, err
}

// loadTree fetches what is missing of the tree's blobs and links them into a
// directory. It returns the entry with one pin.
func (c *Cache) loadTree(ctx context.Context, s *Store, d Digest) (_ *entry, fetched bool, err error) {
	c.mu.Lock()
	if old := c.entries[entryKey{digest: d, tree: true}]; old != nil { // a blob of it was found corrupt
		if old.pins > 0 {
			c.mu.Unlock()
			return nil, false, fmt.Errorf("tree %s: %w: its copy in the cache is damaged and in use by running jobs", d, ErrUnavailable)
		}
		c.drop(old)
	}
	c.mu.Unlock()
	doc, hit, err := readTree(ctx, s, c, d)
	if err != nil {
		return nil, !hit, fmt.Errorf("tree %s: %w", d, err)
	}
	fetched = !hit
	// What a tree may hold at most is the cache's own bound; the callers' limits
	// are checked by each of them.
	tree, err := DecodeTree(doc, Limits{Bytes: c.max, Files: maxTreeFiles, Depth: maxKey})
	if err != nil {
		return nil, fetched, fmt.Errorf("tree %s: %w", d, err)
	}
	tmp, err := os.MkdirTemp(filepath.Join(c.dir, "tmp"), "tree-*")
	if err != nil {
		return nil, fetched, diskError("stage tree", string(d), err)
	}
	b := &treeBuilder{cache: c, store: s, blobs: map[Digest]*entry{}}
	defer func() {
		if err != nil {
			b.undo()
			c.discard(tmp)
		}
	}()
	if err := b.build(ctx, tmp, tree); err != nil {
		return nil, fetched || b.fetched, diskError("stage tree", string(d), err)
	}
	fetched = fetched || b.fetched
	if err := os.Rename(filepath.Join(tmp, "root"), c.treePath(d)); err != nil {
		return nil, fetched, diskError("stage tree", string(d), err)
	}
	_ = os.Remove(tmp)
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &entry{key: entryKey{digest: d, tree: true}, size: b.copied, pins: 1, verified: true, tree: tree}
	for _, blob := range b.blobs {
		blob.pins--
		blob.held++
		e.holds = append(e.holds, blob)
	}
	c.insert(e)
	return e, fetched, nil
}

// treeBuilder links a tree's files. Each blob it has touched stays pinned until
// the tree holds it.
type treeBuilder struct {
	cache *Cache
	store *Store

	mu      sync.Mutex
	blobs   map[Digest]*entry
	fetched bool
	copied  int64 // bytes of files that could not be links, reserved
}

func (b *treeBuilder) build(ctx context.Context, tmp string, tree *Tree) error {
	dir := filepath.Join(tmp, "root")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	plan := make([]staged, len(tree.Files))
	for i, f := range tree.Files {
		plan[i] = staged{rel: f.Path, size: f.Size, digest: f.Digest}
	}
	if err := makeDirs(root, plan, tree.Dirs); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(b.store.cfg.Parallel)
	for _, f := range plan {
		g.Go(func() error {
			if err := b.file(ctx, dir, f); err != nil {
				return fmt.Errorf("file %q: %w", f.rel, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// file gets one blob and links it.
func (b *treeBuilder) file(ctx context.Context, dir string, f staged) error {
	c := b.cache
	e, hit, err := c.get(ctx, entryKey{digest: f.digest}, f.size, func(ctx context.Context, limit int64) (*entry, bool, error) {
		return c.loadBlob(ctx, b.store, f.digest, limit)
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.fetched = b.fetched || !hit
	if _, again := b.blobs[f.digest]; again {
		defer c.unpin(e) // one pin per blob is enough
	} else {
		b.blobs[f.digest] = e
	}
	b.mu.Unlock()
	if e.size != f.size {
		return fmt.Errorf("%w: the tree says %d bytes, blob %s has %d", ErrInvalid, f.size, f.digest, e.size)
	}
	// The path was checked when the tree was decoded, and nobody else writes here.
	to := filepath.Join(dir, filepath.FromSlash(f.rel))
	if os.Link(c.blobPath(f.digest), to) == nil {
		return nil
	}
	// A blob has as many links as the file system allows, or it allows none.
	if err := c.reserve(f.size); err != nil {
		return err
	}
	b.mu.Lock()
	b.copied += f.size
	b.mu.Unlock()
	return copyFile(c.blobPath(f.digest), to)
}

// undo lets go of everything after a failure.
func (b *treeBuilder) undo() {
	for _, e := range b.blobs {
		b.cache.unpin(e)
	}
	b.cache.unreserve(b.copied)
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}
