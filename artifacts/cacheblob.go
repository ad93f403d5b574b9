package artifacts

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// Blob is a cached blob in use: the file stays until Release.
type Blob struct {
	Digest Digest
	Path   string // mode 0444; open it, do not change it
	Size   int64

	release func()
}

// Release ends the use. It may be called more than once.
func (b *Blob) Release() { b.release() }

// Blob returns the blob's file, fetching it unless it is there, and whether that
// was so (a hit costs no request). A blob of more than limit bytes is
// ErrTooLarge. Concurrent calls for one digest share one download.
//
// Content that does not match is fetched once more and then ErrDigestMismatch.
func (c *Cache) Blob(ctx context.Context, s *Store, d Digest, limit int64) (*Blob, bool, error) {
	if _, err := ParseDigest(string(d)); err != nil {
		return nil, false, err
	}
	e, hit, err := c.get(ctx, entryKey{digest: d}, limit, func(ctx context.Context, limit int64) (*entry, bool, error) {
		return c.loadBlob(ctx, s, d, limit)
	})
	if err != nil {
		return nil, hit, err
	}
	b := &Blob{Digest: d, Path: c.blobPath(d), Size: e.size, release: sync.OnceFunc(func() { c.unpin(e) })}
	if b.Size > limit {
		b.Release()
		return nil, hit, &Error{Op: "get", Bucket: s.cfg.Bucket, Key: d.Key(), Kind: ErrTooLarge, Err: fmt.Errorf("%d bytes where %d are allowed", b.Size, limit)}
	}
	return b, hit, nil
}

// loadBlob returns a verified entry with one pin: of the file on disk if that is
// intact, else of a new one.
func (c *Cache) loadBlob(ctx context.Context, s *Store, d Digest, limit int64) (*entry, bool, error) {
	key := entryKey{digest: d}
	c.mu.Lock()
	old := c.entries[key]
	if old != nil {
		old.pins++ // not to be evicted while it is hashed
	}
	c.mu.Unlock()
	if old != nil {
		id, err := verifyFile(c.blobPath(d), d)
		c.mu.Lock()
		if err == nil && id.size == old.size {
			old.verified, old.identity = true, id
			c.mu.Unlock()
			return old, false, nil
		}
		old.pins--
		c.dropCorrupt(old)
		c.mu.Unlock()
	}
	e, err := c.fetchBlob(ctx, s, d, limit)
	if errors.Is(err, ErrDigestMismatch) {
		e, err = c.fetchBlob(ctx, s, d, limit)
	}
	return e, true, err
}

// fetchBlob downloads the blob into the cache and returns its entry, pinned.
// When the disk is full it makes room once.
func (c *Cache) fetchBlob(ctx context.Context, s *Store, d Digest, limit int64) (e *entry, err error) {
	var size int64
	fetch := func() error {
		body, obj, err := s.open(ctx, "", d.Key(), limit)
		if err != nil {
			return err
		}
		defer body.Close()
		size = obj.Size
		if err := c.reserve(size); err != nil {
			return fmt.Errorf("cache %s: %w", d, err)
		}
		id, err := c.writeBlob(ctx, s, d, size, body)
		if err != nil {
			c.unreserve(size)
			return diskError("cache", string(d), err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		e = &entry{key: entryKey{digest: d}, size: size, pins: 1, verified: true, identity: id}
		c.insert(e)
		return nil
	}
	err = s.try(ctx, fetch)
	if errors.Is(err, ErrNoSpace) && c.shed(size) {
		err = s.try(ctx, fetch)
	}
	return e, err
}

// writeBlob writes the body beside and renames it into its place when it is
// known to be right.
func (c *Cache) writeBlob(ctx context.Context, s *Store, d Digest, size int64, body io.Reader) (identity, error) {
	tmp, err := os.CreateTemp(filepath.Join(c.dir, "tmp"), "blob-*")
	if err != nil {
		return identity{}, err
	}
	defer os.Remove(tmp.Name())
	_, err = s.copyVerified(ctx, d, size, tmp, body)
	if err := errors.Join(err, tmp.Chmod(0o444), tmp.Close()); err != nil {
		return identity{}, err
	}
	place := c.blobPath(d)
	if err := os.MkdirAll(filepath.Dir(place), 0o700); err != nil {
		return identity{}, err
	}
	if err := os.Rename(tmp.Name(), place); err != nil {
		return identity{}, err
	}
	return identify(place)
}

// verifyFile hashes a file and returns its identity if it has the digest.
func verifyFile(path string, want Digest) (identity, error) {
	id, err := identify(path)
	if err != nil {
		return id, err
	}
	f, err := openRegular(path)
	if err != nil {
		return id, err
	}
	defer f.Close()
	v := &verifier{hash: sha256.New()}
	if _, err := io.Copy(v, f); err != nil {
		return id, err
	}
	return id, v.check(want, id.size)
}
