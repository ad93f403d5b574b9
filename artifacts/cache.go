package artifacts

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Cache keeps blobs, and directories staged from trees, on a worker's disk under
// a bound on their size. It survives restarts, is safe for concurrent use within
// one process, and refuses a second process on its directory.
//
// Trust in what is on the disk: content is verified while it is fetched, and
// once more, by hashing the file, when it is first used after a start, since
// files may have been cut short by a crash of the machine. After that a blob is
// taken for intact while its inode, size and modification time are the same. A
// file that fails is dropped and fetched again. Whoever can write into the
// directory as the worker's user can deceive it; the directory is mode 0700.
//
//	blobs/ab/abcd...   a blob by its digest, mode 0444
//	trees/abcd...      a tree as a directory of links to blobs; rebuilt after a start
//	tmp/               what is being fetched or deleted; emptied at a start
//	lock
type Cache struct {
	dir  string
	max  int64
	lock *os.File

	stop    context.CancelFunc // ends every load
	stopped context.Context
	loads   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	entries map[entryKey]*entry
	recent  *list.List // of *entry, most recently used first
	used    int64      // bytes of entries and of loads under way
	flights map[entryKey]*flight
	stats   CacheStats
}

// entryKey tells a blob from the directory staged from the tree it describes.
type entryKey struct {
	digest Digest
	tree   bool
}

// entry is a cached blob or tree. The cache's mutex guards it.
type entry struct {
	key     entryKey
	size    int64 // bytes it adds to the disk
	pins    int   // users right now
	held    int   // trees that link to this blob
	place   *list.Element
	touched time.Time // when the file's access time was last set

	verified bool
	identity identity // of the verified file

	tree  *Tree    // of a tree
	holds []*entry // the blobs that a tree links to
}

// identity is what a file keeps while nobody changes it.
type identity struct {
	ino   uint64
	size  int64
	mtime unix.Timespec
}

// CacheStats counts since the cache was opened.
type CacheStats struct {
	Blobs, Trees int   // in the cache
	Bytes, Max   int64 // on disk, and the bound
	Hits         int64 // uses served without the store
	Misses       int64 // uses that fetched
	Joined       int64 // uses that waited for another's fetch
	Evicted      int64
	Corrupt      int64 // files dropped because their content was wrong
}

// touchEvery is how often the access time of a used file is set: it only has to
// order the files after a restart.
const touchEvery = time.Minute

// errCacheClosed is what a closed cache answers.
var errCacheClosed = errors.New("cache is closed")

// OpenCache makes or opens the cache in dir, bound to maxBytes.
func OpenCache(dir string, maxBytes int64) (*Cache, error) {
	if maxBytes <= 0 {
		return nil, fmt.Errorf("open cache: %w: a bound of %d bytes", ErrInvalid, maxBytes)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, diskError("open cache", dir, err)
	}
	lock, err := lockDir(dir, "cache directory")
	if err != nil {
		return nil, err
	}
	c := &Cache{
		dir: dir, max: maxBytes, lock: lock,
		entries: map[entryKey]*entry{}, recent: list.New(), flights: map[entryKey]*flight{},
	}
	c.stopped, c.stop = context.WithCancel(context.Background())
	if err := c.load(); err != nil {
		c.stop()
		return nil, errors.Join(err, lock.Close())
	}
	return c, nil
}

// load reads what an earlier process left.
func (c *Cache) load() error {
	for _, sub := range []string{"trees", "tmp"} {
		if err := removeTree(filepath.Join(c.dir, sub)); err != nil {
			return fmt.Errorf("open cache: %w", err)
		}
	}
	for _, sub := range []string{"blobs", "trees", "tmp"} {
		if err := os.MkdirAll(filepath.Join(c.dir, sub), 0o700); err != nil {
			return diskError("open cache", c.dir, err)
		}
	}
	type found struct {
		digest Digest
		size   int64
		atime  unix.Timespec
	}
	var files []found
	shards, err := os.ReadDir(filepath.Join(c.dir, "blobs"))
	if err != nil {
		return fmt.Errorf("open cache: %w", err)
	}
	for _, shard := range shards {
		dir := filepath.Join(c.dir, "blobs", shard.Name())
		if !shard.IsDir() {
			if err := removeTree(dir); err != nil {
				return fmt.Errorf("open cache: %w", err)
			}
			continue
		}
		names, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("open cache: %w", err)
		}
		for _, e := range names {
			path := filepath.Join(dir, e.Name())
			d, err := ParseDigest(digestPrefix + e.Name())
			var st unix.Stat_t
			if err == nil {
				err = unix.Lstat(path, &st)
			}
			if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || path != c.blobPath(d) {
				// Nothing that this package wrote.
				if err := removeTree(path); err != nil {
					return fmt.Errorf("open cache: %w", err)
				}
				continue
			}
			files = append(files, found{d, st.Size, st.Atim})
		}
	}
	slices.SortFunc(files, func(a, b found) int { return cmp.Compare(a.atime.Nano(), b.atime.Nano()) })
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range files {
		c.used += f.size
		c.insert(&entry{key: entryKey{digest: f.digest}, size: f.size})
	}
	c.evict(0)
	return nil
}

// Close ends loads under way and lets another process have the directory. Pins
// still held keep their files until that process evicts them.
func (c *Cache) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.mu.Unlock()
	c.stop()
	c.loads.Wait()
	return c.lock.Close()
}

// Stats returns counters for metrics.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.stats
	st.Bytes, st.Max = c.used, c.max
	for k := range c.entries {
		if k.tree {
			st.Trees++
		} else {
			st.Blobs++
		}
	}
	return st
}

// Dir is where the cache is, for CheckSpace.
func (c *Cache) Dir() string { return c.dir }

func (c *Cache) blobPath(d Digest) string {
	h := d.Hex()
	return filepath.Join(c.dir, "blobs", h[:2], h)
}

func (c *Cache) treePath(d Digest) string { return filepath.Join(c.dir, "trees", d.Hex()) }

// insert adds an entry as the most recently used. The mutex is held.
func (c *Cache) insert(e *entry) {
	c.entries[e.key] = e
	e.place = c.recent.PushFront(e)
}

// use marks an entry as used just now. The mutex is held.
func (c *Cache) use(e *entry) {
	c.recent.MoveToFront(e.place)
	if now := time.Now(); !e.key.tree && now.Sub(e.touched) > touchEvery {
		e.touched = now
		// The order after a restart is worth no error. A zero time leaves the
		// modification time, which is part of the file's identity.
		_ = os.Chtimes(c.blobPath(e.key.digest), now, time.Time{})
	}
}

// unpin ends one use of an entry.
func (c *Cache) unpin(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.pins--
}

// reserve makes room for size bytes and counts them as used. The mutex is not
// held. What is pinned, or linked by a tree in use, stays.
func (c *Cache) reserve(size int64) error {
	if size > c.max {
		return fmt.Errorf("%w: %d bytes do not fit into a cache of %d; give the worker a larger one", ErrTooLarge, size, c.max)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.evict(size) {
		return fmt.Errorf("cache %s: %w: %d of %d bytes are in use by running jobs, %d more are wanted; wait, or give the worker a larger cache", c.dir, ErrNoSpace, c.used, c.max, size)
	}
	c.used += size
	return nil
}

// unreserve takes back a reservation.
func (c *Cache) unreserve(size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used -= size
}

// evict drops least recently used entries until want more bytes fit, and says
// whether they do. The mutex is held.
func (c *Cache) evict(want int64) bool {
	for el := c.recent.Back(); el != nil && c.used+want > c.max; {
		e := el.Value.(*entry) //nolint:forcetypeassert // the list holds nothing else
		next := el.Prev()
		switch {
		case e.pins > 0 || e.held > 0:
		case e.key.tree:
			c.drop(e)
			// Its blobs are free now and no more recent than it was.
			next = c.recent.Back()
		default:
			c.drop(e)
		}
		el = next
	}
	return c.used+want <= c.max
}

// shed drops least recently used entries of at least size bytes, for a disk that
// is full before the bound is reached. It says whether it dropped any.
func (c *Cache) shed(size int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.used
	c.evict(c.max - c.used + size)
	return c.used < before
}

// drop removes an entry and its file. Whoever has the file open keeps reading.
// The mutex is held.
func (c *Cache) drop(e *entry) {
	if c.entries[e.key] != e {
		return
	}
	delete(c.entries, e.key)
	c.recent.Remove(e.place)
	c.used -= e.size
	c.stats.Evicted++
	if !e.key.tree {
		_ = os.Remove(c.blobPath(e.key.digest)) // found again at the next start if it stays
		return
	}
	for _, b := range e.holds {
		b.held--
	}
	c.discard(c.treePath(e.key.digest))
}

// dropCorrupt drops a blob whose content is wrong, and the trees that link to
// it. A tree in use cannot go; its next user finds it unverified. The mutex is
// held.
func (c *Cache) dropCorrupt(blob *entry) {
	c.stats.Corrupt++
	c.drop(blob)
	for _, e := range c.entries {
		if !slices.Contains(e.holds, blob) {
			continue
		}
		e.verified = false
		if e.pins == 0 {
			c.drop(e)
		}
	}
}

// discard deletes a directory without making anyone wait.
func (c *Cache) discard(dir string) {
	gone, err := os.MkdirTemp(filepath.Join(c.dir, "tmp"), "gone-*")
	if err != nil || os.Rename(dir, filepath.Join(gone, "tree")) != nil {
		gone = dir
	}
	c.loads.Add(1)
	go func() {
		defer c.loads.Done()
		_ = removeTree(gone) // what stays in tmp goes at the next start
	}()
}

// identify returns what the file's identity is now.
func identify(path string) (identity, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return identity{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return identity{}, fmt.Errorf("%s: %w: not a regular file", path, ErrInvalid)
	}
	return identity{ino: st.Ino, size: st.Size, mtime: st.Mtim}, nil
}
