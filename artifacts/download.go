package artifacts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sync/errgroup"
)

// Download fetches collected files into a directory of the caller's, which is
// made when missing, and verifies each. Files of the same name are replaced, one
// by one and whole; others stay. Paths are checked as in [Stage], and no
// symbolic link in the directory leads a write out of it. The files are read
// with the caller's own credentials.
//
// The progress function, when set, is called with each finished file,
// concurrently.
func Download(ctx context.Context, s *Store, out Output, dir string, progress func(OutputFile)) error {
	paths := newPathSet()
	plan := make([]staged, len(out.Files))
	for i, f := range out.Files {
		digest, err := ParseDigest(digestPrefix + f.SHA256)
		if err == nil {
			err = CheckPath(f.Path)
		}
		if err == nil {
			err = paths.addFile(f.Path)
		}
		if err == nil && f.Size < 0 {
			err = fmt.Errorf("%w: size %d", ErrInvalid, f.Size)
		}
		if err != nil {
			return fmt.Errorf("download %q: %w", f.Path, err)
		}
		plan[i] = staged{rel: f.Path, size: f.Size, key: out.Prefix + f.Path, digest: digest}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return diskError("download into", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return diskError("download into", dir, err)
	}
	defer root.Close()
	if err := makeDirs(root, plan, nil); err != nil {
		return diskError("download into", dir, err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s.cfg.Parallel)
	for i, f := range plan {
		g.Go(func() error {
			if err := downloadFile(ctx, s, out.Bucket, root, f); err != nil {
				return fmt.Errorf("download %q: %w", f.rel, err)
			}
			if progress != nil {
				progress(out.Files[i])
			}
			return nil
		})
	}
	return g.Wait()
}

// downloadFile writes beside the file and renames into its place.
func downloadFile(ctx context.Context, s *Store, bucket string, root *os.Root, f staged) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	tmp := path.Join(path.Dir(f.rel), ".boxfleet-"+rand.Text())
	dst, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return diskError("write", f.rel, err)
	}
	defer func() {
		if err != nil {
			_ = root.Remove(tmp)
		}
	}()
	err = s.try(ctx, func() error {
		if err := rewind(dst); err != nil {
			return err
		}
		v := &verifier{hash: sha256.New()}
		n, err := s.GetTo(ctx, bucket, f.key, f.size, io.MultiWriter(dst, v))
		if err != nil {
			return err
		}
		return v.check(f.digest, n)
	})
	if err := diskError("write", f.rel, errors.Join(err, dst.Close())); err != nil {
		return err
	}
	return diskError("write", f.rel, root.Rename(tmp, f.rel))
}
