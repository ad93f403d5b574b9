package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// StageRequest says what to put into which directory.
type StageRequest struct {
	Store  *Store
	Cache  *Cache // for trees; nil fetches every time
	Source Source
	Dir    string // empty, private to the attempt
	Limits Limits

	// Tenant and Access decide whether a prefix may be read. With Trusted they
	// are not asked. A tree is readable by whoever knows its digest.
	Tenant  string
	Access  Access
	Trusted bool

	// Baseline asks for StageReport.Baseline.
	Baseline bool
}

// StageReport says what was staged.
type StageReport struct {
	Files   int
	Bytes   int64    // of the files
	Fetched int64    // bytes that came from the store, not the cache
	Hits    int      // files that came from the cache
	Noted   []string // remarks, at most 100: names that differ only in case
	// Baseline is the content of every file by path, for CollectRequest.
	Baseline map[string]Digest
}

// staged is one file to write.
type staged struct {
	rel    string
	size   int64
	key    string // of an object under a prefix
	digest Digest // of a file of a tree
}

// Stage copies the source into the directory. Names are checked and everything
// is counted before the first byte is written; see [RelPath] for what is
// refused. Files get mode 0644 and directories 0755, less the umask.
//
// A prefix that holds nothing is ErrNotFound: more often a mistake in the name
// than an empty directory. After an error the directory holds some of the files
// and must be thrown away.
func Stage(ctx context.Context, req StageRequest) (StageReport, error) {
	var plan []staged
	var dirs []string
	var report StageReport
	var err error
	if req.Source.IsTree() {
		plan, dirs, err = planTree(ctx, req, &report)
	} else {
		plan, dirs, err = planPrefix(ctx, req, &report)
	}
	if err != nil {
		return report, fmt.Errorf("stage %s: %w", req.Source, err)
	}
	root, err := os.OpenRoot(req.Dir)
	if err != nil {
		return report, diskError("stage into", req.Dir, err)
	}
	defer root.Close()
	if err := makeDirs(root, plan, dirs); err != nil {
		return report, diskError("stage into", req.Dir, err)
	}
	var fetched, hits atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(req.Store.cfg.Parallel)
	for _, f := range plan {
		g.Go(func() error {
			if err := gctx.Err(); err != nil {
				return err
			}
			if f.digest != "" && req.Cache != nil && f.size <= req.Cache.max {
				hit, err := stageCached(gctx, req, root, f)
				if hit {
					hits.Add(1)
				} else {
					fetched.Add(f.size)
				}
				return err
			}
			fetched.Add(f.size)
			return stageFetched(gctx, req.Store, req.Source.Bucket, root, f)
		})
	}
	err = g.Wait()
	report.Fetched += fetched.Load()
	report.Hits += int(hits.Load())
	if err == nil && req.Baseline {
		report.Baseline, err = baseline(root, plan)
	}
	if err != nil {
		return report, fmt.Errorf("stage %s: %w", req.Source, err)
	}
	return report, nil
}

// baseline gives the digests of what was just staged: a tree names them, files
// of a prefix are read once more while they are still in the page cache.
func baseline(root *os.Root, plan []staged) (map[string]Digest, error) {
	out := make(map[string]Digest, len(plan))
	for _, f := range plan {
		if f.digest != "" {
			out[f.rel] = f.digest
			continue
		}
		file, err := root.Open(f.rel)
		if err != nil {
			return nil, err
		}
		d, _, err := DigestReader(file)
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, fmt.Errorf("file %q: %w", f.rel, err)
		}
		out[f.rel] = d
	}
	return out, nil
}

// planPrefix lists what is under the prefix.
func planPrefix(ctx context.Context, req StageRequest, report *StageReport) (plan []staged, dirs []string, err error) {
	src := req.Source
	if !req.Trusted {
		if err := req.Access.Check(req.Tenant, src.Bucket, src.Prefix, false); err != nil {
			return nil, nil, err
		}
	}
	count := tally{limits: req.Limits.WithDefaults()}
	paths := newPathSet()
	entries := 0
	for o, err := range req.Store.List(ctx, src.Bucket, src.Prefix) {
		if err != nil {
			return nil, nil, err
		}
		entries++
		key, marker := strings.CutSuffix(o.Key, "/")
		if marker && o.Size != 0 {
			return nil, nil, fmt.Errorf("object key %q: %w: it ends in a slash and has content", o.Key, ErrInvalidName)
		}
		if marker && o.Key == src.Prefix {
			continue // the prefix's own marker
		}
		rel, err := RelPath(src.Prefix, key)
		if err != nil {
			return nil, nil, err
		}
		if err := count.add(rel, o.Size); err != nil {
			return nil, nil, err
		}
		if marker {
			err = paths.addDir(rel)
			dirs = append(dirs, rel)
		} else {
			err = paths.addFile(rel)
			plan = append(plan, staged{rel: rel, size: o.Size, key: o.Key})
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if entries == 0 {
		return nil, nil, emptyPrefix(ctx, req.Store, src)
	}
	report.Files, report.Bytes, report.Noted = len(plan), count.bytes, paths.clash
	return plan, dirs, nil
}

// emptyPrefix says that nothing is under the prefix, and what may be meant.
func emptyPrefix(ctx context.Context, s *Store, src Source) error {
	hint := "nothing is under this prefix"
	if key := strings.TrimSuffix(src.Prefix, "/"); key != "" {
		if _, err := s.Stat(ctx, src.Bucket, key); err == nil {
			hint = fmt.Sprintf("nothing is under this prefix; there is an object %q, but a prefix names a directory", key)
		}
	}
	return &Error{Op: "list", Bucket: src.Bucket, Key: src.Prefix, Kind: ErrNotFound, Err: errors.New(hint)}
}

// planTree reads the tree's document.
func planTree(ctx context.Context, req StageRequest, report *StageReport) ([]staged, []string, error) {
	doc, hit, err := readTree(ctx, req.Store, req.Cache, req.Source.Tree)
	if err != nil {
		return nil, nil, err
	}
	tree, err := DecodeTree(doc, req.Limits)
	if err != nil {
		return nil, nil, err
	}
	if !hit {
		report.Fetched += int64(len(doc))
	}
	plan := make([]staged, len(tree.Files))
	paths := newPathSet()
	for i, f := range tree.Files {
		plan[i] = staged{rel: f.Path, size: f.Size, digest: f.Digest}
		paths.noteCase(f.Path)
	}
	report.Files, report.Bytes, report.Noted = len(plan), tree.Bytes(), paths.clash
	return plan, tree.Dirs, nil
}

// makeDirs makes the directories of the plan.
func makeDirs(root *os.Root, plan []staged, dirs []string) error {
	made := map[string]bool{".": true}
	mkdir := func(d string) error {
		if made[d] {
			return nil
		}
		made[d] = true
		return root.MkdirAll(d, 0o755)
	}
	for _, f := range plan {
		if err := mkdir(path.Dir(f.rel)); err != nil {
			return err
		}
	}
	for _, d := range dirs {
		if err := mkdir(d); err != nil {
			return err
		}
	}
	return nil
}

// stageCached copies a tree's file out of the cache. A link would be cheaper,
// and let a guest write into the cache.
func stageCached(ctx context.Context, req StageRequest, root *os.Root, f staged) (hit bool, err error) {
	blob, hit, err := req.Cache.Blob(ctx, req.Store, f.digest, f.size)
	if errors.Is(err, ErrNoSpace) {
		// A cache full of what others use is no reason not to stage.
		return false, stageFetched(ctx, req.Store, "", root, f)
	}
	if err != nil {
		return hit, fmt.Errorf("file %q: %w", f.rel, err)
	}
	defer blob.Release()
	if blob.Size != f.size {
		return hit, fmt.Errorf("file %q: %w: the tree says %d bytes, blob %s has %d", f.rel, ErrInvalid, f.size, f.digest, blob.Size)
	}
	src, err := os.Open(blob.Path)
	if err != nil {
		return hit, fmt.Errorf("file %q: %w", f.rel, err)
	}
	defer src.Close()
	return hit, writeNew(root, f.rel, func(dst *os.File) error {
		_, err := io.Copy(dst, src) // copy_file_range
		return err
	})
}

// stageFetched downloads a file, again if a connection breaks half-way.
func stageFetched(ctx context.Context, s *Store, bucket string, root *os.Root, f staged) error {
	return writeNew(root, f.rel, func(dst *os.File) error {
		return s.try(ctx, func() error {
			if err := rewind(dst); err != nil {
				return err
			}
			if f.digest != "" {
				n, err := s.GetBlob(ctx, f.digest, f.size, dst)
				if err == nil && n != f.size {
					err = fmt.Errorf("file %q: %w: the tree says %d bytes, blob %s has %d", f.rel, ErrInvalid, f.size, f.digest, n)
				}
				return err
			}
			n, err := s.GetTo(ctx, bucket, f.key, f.size, dst)
			if errors.Is(err, ErrTooLarge) || err == nil && n != f.size {
				// Listed with one size, read with another: another attempt sees
				// one or the other.
				return &Error{Op: "get", Bucket: bucket, Key: f.key, Kind: ErrUnavailable, Err: errors.New("the object changed while it was staged")}
			}
			return err
		})
	})
}

// writeNew makes a file below root and fills it.
func writeNew(root *os.Root, rel string, fill func(*os.File) error) error {
	f, err := root.OpenFile(rel, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return diskError("write", rel, err)
	}
	return diskError("write", rel, errors.Join(fill(f), f.Close()))
}

func rewind(f *os.File) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return f.Truncate(0)
}
