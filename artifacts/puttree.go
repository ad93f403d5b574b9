package artifacts

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// TreeOptions of [Store.PutTree]. The zero value is usable.
type TreeOptions struct {
	Limits Limits
	// Progress, when set, is called after each file, never concurrently.
	Progress func(TreeStats)
}

// TreeStats counts what PutTree did.
type TreeStats struct {
	Files int   // in the tree
	Bytes int64 // of those files

	Hashed   int   // so far
	Sent     int   // uploaded, because the store did not have them
	SentSize int64 // bytes of those
}

// PutTree uploads a directory content-addressed and returns the digest of its
// tree. Files that the store has are not sent again, and of a tree that it has
// nothing is even asked: its document goes last, so that where the document is,
// the files are.
//
// Symbolic links, devices, sockets and pipes are refused by name: what a link
// points to on this machine is nothing a worker could have.
func (s *Store) PutTree(ctx context.Context, dir string, opts TreeOptions) (Digest, TreeStats, error) {
	tree, err := scanTree(dir, opts.Limits.WithDefaults())
	if err != nil {
		return "", TreeStats{}, err
	}
	p := &treeProgress{report: opts.Progress, stats: TreeStats{Files: len(tree.Files), Bytes: tree.Bytes()}}

	g, hctx := errgroup.WithContext(ctx)
	g.SetLimit(s.cfg.Parallel)
	for i := range tree.Files {
		g.Go(func() error {
			f := &tree.Files[i]
			d, err := hashFile(hctx, filepath.Join(dir, filepath.FromSlash(f.Path)), f.Size)
			if err != nil {
				return err
			}
			f.Digest = d
			p.add(func(st *TreeStats) { st.Hashed++ })
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return "", p.stats, err
	}
	doc, err := tree.encode()
	if err != nil {
		return "", p.stats, err
	}
	digest := DigestBytes(doc)
	if obj, err := s.Stat(ctx, "", digest.Key()); err == nil && obj.Size == int64(len(doc)) {
		return digest, p.stats, nil
	}

	g, uctx := errgroup.WithContext(ctx)
	g.SetLimit(s.cfg.Parallel)
	seen := map[Digest]bool{}
	for _, f := range tree.Files {
		if seen[f.Digest] {
			continue
		}
		seen[f.Digest] = true
		g.Go(func() error {
			file, err := openRegular(filepath.Join(dir, filepath.FromSlash(f.Path)))
			if err != nil {
				return err
			}
			defer file.Close()
			sent, err := s.putKnownBlob(uctx, f.Digest, f.Size, file)
			if err != nil {
				return fmt.Errorf("upload %s: %w", f.Path, err)
			}
			if sent {
				p.add(func(st *TreeStats) { st.Sent++; st.SentSize += f.Size })
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return "", p.stats, err
	}
	if _, err := s.putKnownBlob(ctx, digest, int64(len(doc)), bytes.NewReader(doc)); err != nil {
		return "", p.stats, err
	}
	return digest, p.stats, nil
}

// scanTree lists dir without reading its files.
func scanTree(dir string, limits Limits) (*Tree, error) {
	if st, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("upload directory: %w", err)
	} else if !st.IsDir() {
		return nil, fmt.Errorf("upload %s: %w: not a directory", dir, ErrInvalid)
	}
	tree := &Tree{Version: treeVersion, Files: []TreeFile{}}
	count := tally{limits: limits}
	empty := map[string]bool{}
	// The slash makes a link given as dir itself be followed, as the user means.
	err := filepath.WalkDir(dir+string(filepath.Separator), func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil || rel == "." {
			return err
		}
		rel = filepath.ToSlash(rel)
		if err := CheckPath(rel); err != nil {
			return fmt.Errorf("upload %s: %w", dir, err)
		}
		delete(empty, filepath.ToSlash(filepath.Dir(rel)))
		switch {
		case e.IsDir():
			empty[rel] = true
			return count.add(rel, 0)
		case e.Type().IsRegular():
			st, err := e.Info()
			if err != nil {
				return err
			}
			tree.Files = append(tree.Files, TreeFile{Path: rel, Size: st.Size()})
			return count.add(rel, st.Size())
		case e.Type()&fs.ModeSymlink != 0:
			return fmt.Errorf("upload %s: %w: %s is a symbolic link; replace it by what it points to, or leave it out", dir, ErrInvalid, rel)
		default:
			return fmt.Errorf("upload %s: %w: %s is no regular file but %s", dir, ErrInvalid, rel, e.Type())
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(tree.Files, func(a, b TreeFile) int { return cmp.Compare(a.Path, b.Path) })
	for d := range empty {
		tree.Dirs = append(tree.Dirs, d)
	}
	slices.Sort(tree.Dirs)
	return tree, nil
}

// hashFile hashes a regular file and refuses one that is not size bytes long
// any more.
func hashFile(ctx context.Context, name string, size int64) (Digest, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	f, err := openRegular(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	d, n, err := DigestReader(f)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	if n != size {
		return "", fmt.Errorf("read %s: %w: it changed while it was uploaded: %d bytes, then %d", name, ErrInvalid, size, n)
	}
	return d, nil
}

// openRegular opens a file, following no link and waiting for no pipe.
func openRegular(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("open %s: %w: no regular file but %s", name, ErrInvalid, st.Mode().Type())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// treeProgress serialises counting and reporting.
type treeProgress struct {
	mu     sync.Mutex
	stats  TreeStats
	report func(TreeStats)
}

func (p *treeProgress) add(change func(*TreeStats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.stats)
	if p.report != nil {
		p.report(p.stats)
	}
}
