package submitcli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"boxfleet/artifacts"
	"boxfleet/limits"
)

// uploads are the local directories and files that jobs name. They are noted
// while jobs are checked, uploaded once each before the first job is sent, and
// then known by their digests.
type uploads struct {
	dirs  map[string]artifacts.Digest // by the path as given; "" until uploaded
	files map[string]artifacts.Digest
	order []string // of dirs and files, for progress
}

func newUploads() *uploads {
	return &uploads{dirs: map[string]artifacts.Digest{}, files: map[string]artifacts.Digest{}}
}

// placeholder stands for a digest that is not known yet, so that a job can be
// checked before anything is uploaded.
var placeholder = artifacts.Digest("sha256:" + strings.Repeat("0", 64))

// remote tells whether a source is in the object store already.
func remote(source string) bool {
	return strings.HasPrefix(source, "s3://") || strings.HasPrefix(source, "sha256:")
}

// source gives what stands for a mount's source in a job: itself when it is
// remote, else the digest of the local directory.
func (u *uploads) source(field, source string) (string, error) {
	if source == "" || remote(source) {
		return source, nil
	}
	if d, known := u.dirs[source]; known {
		return string(cmpOr(d, placeholder)), nil
	}
	info, err := os.Stat(source)
	switch {
	case err != nil:
		return "", &limits.FieldError{Field: field, Err: fmt.Errorf("%w; give a directory, s3://bucket/prefix/ or sha256:<digest>, and after it :ro, :rw or :scratch", plainPathError(err))}
	case !info.IsDir():
		return "", &limits.FieldError{Field: field, Err: fmt.Errorf("%s is no directory; pass a single file by --stdin, or its directory", source)}
	}
	u.dirs[source] = ""
	u.order = append(u.order, source)
	return string(placeholder), nil
}

// file does the same for a file whose content is an object.
func (u *uploads) file(field, source string) (string, error) {
	if remote(source) {
		return source, nil
	}
	if d, known := u.files[source]; known {
		return string(cmpOr(d, placeholder)), nil
	}
	info, err := os.Stat(source)
	switch {
	case err != nil:
		return "", &limits.FieldError{Field: field, Err: fmt.Errorf("%w; give a file, s3://bucket/key or sha256:<digest>", plainPathError(err))}
	case !info.Mode().IsRegular():
		return "", &limits.FieldError{Field: field, Err: fmt.Errorf("%s is no regular file", source)}
	}
	u.files[source] = ""
	u.order = append(u.order, source)
	return string(placeholder), nil
}

func cmpOr(d, other artifacts.Digest) artifacts.Digest {
	if d == "" {
		return other
	}
	return d
}

// plainPathError drops the system call's name from a file error.
func plainPathError(err error) error {
	if pe, ok := err.(*os.PathError); ok {
		return fmt.Errorf("%s: %w", pe.Path, pe.Err)
	}
	return err
}

// empty tells that there is nothing to upload.
func (u *uploads) empty() bool { return len(u.order) == 0 }

// send uploads everything that was noted.
func (u *uploads) send(ctx context.Context, a *app) error {
	if u.empty() {
		return nil
	}
	store, err := a.store(ctx)
	if err != nil {
		return err
	}
	for _, path := range u.order {
		if d, isFile := u.files[path]; isFile && d == "" {
			if u.files[path], _, err = store.PutBlobFile(ctx, path); err != nil {
				return fmt.Errorf("upload %s: %w", path, err)
			}
		}
		if d, isDir := u.dirs[path]; isDir && d == "" {
			if u.dirs[path], err = a.uploadDir(ctx, store, path); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *app) uploadDir(ctx context.Context, store *artifacts.Store, path string) (artifacts.Digest, error) {
	bar := a.countBar("upload " + filepath.Base(path))
	digest, stats, err := store.PutTree(ctx, path, artifacts.TreeOptions{Progress: func(s artifacts.TreeStats) {
		bar.set(s.Hashed, s.Files)
	}})
	bar.done()
	if err != nil {
		return "", fmt.Errorf("upload directory %s: %w", path, err)
	}
	if stats.Sent > 0 {
		a.remark("uploaded %s: %s, %d new (%s)", path, count(stats.Files, "file"), stats.Sent, size(stats.SentSize))
	}
	return digest, nil
}
