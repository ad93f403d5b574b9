package submitcli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"boxfleet/artifacts"
	"boxfleet/jobs"
)

// parallelFetches bounds simultaneous downloads.
const parallelFetches = 8

// fetchRequest says which outputs of a result go where.
type fetchRequest struct {
	result *jobs.Result
	guest  string // only what lies below this guest path; "/" for all
	dir    string // local directory; made when missing
}

// fetchOutputs downloads collected outputs. Their names come from the guest
// and are trusted in nothing: every path is checked, and all files are opened
// below dir by a handle that no link, old or new, leads out of. Each file
// appears complete, with the size and digest of the result, or not at all.
func (a *app) fetchOutputs(ctx context.Context, req fetchRequest) (files int, bytes int64, err error) {
	prefix := strings.TrimPrefix(req.guest, "/")
	var wanted []artifacts.OutputFile
	var total int64
	for _, f := range req.result.Outputs {
		if below(prefix, f.Path) {
			wanted = append(wanted, f)
			total += f.Size
		}
	}
	if err := os.MkdirAll(req.dir, 0o755); err != nil {
		return 0, 0, fmt.Errorf("make the output directory: %w", err)
	}
	if len(wanted) == 0 {
		return 0, 0, nil
	}
	bucket, key, err := artifacts.ParseObject(req.result.OutputPrefix)
	if err != nil {
		return 0, 0, fmt.Errorf("fetch outputs of job %s: %w", req.result.ID, err)
	}
	store, err := a.store(ctx)
	if err != nil {
		return 0, 0, err
	}
	root, err := os.OpenRoot(req.dir)
	if err != nil {
		return 0, 0, fmt.Errorf("open the output directory: %w", err)
	}
	defer root.Close()

	bar := a.byteBar("download outputs", total)
	defer bar.done()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelFetches)
	for _, f := range wanted {
		g.Go(func() error {
			local, err := localName(prefix, f.Path)
			if err == nil {
				err = fetchFile(ctx, store, root, bucket, key+f.Path, local, f, bar)
			}
			if err != nil {
				return fmt.Errorf("fetch output %s: %w", plain(f.Path), err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, 0, err
	}
	return len(wanted), total, nil
}

// below tells whether a path lies in or is the directory prefix; "" is all.
func below(prefix, p string) bool {
	return prefix == "" || p == prefix || strings.HasPrefix(p, prefix+"/")
}

// localName gives the file's path below the output directory.
func localName(prefix, p string) (string, error) {
	if err := artifacts.CheckPath(p); err != nil {
		return "", err
	}
	rel := p
	if prefix != "" {
		if rel = strings.TrimPrefix(p, prefix+"/"); rel == p {
			rel = path.Base(p)
		}
	}
	local, err := filepath.Localize(rel)
	if err != nil {
		return "", fmt.Errorf("this system has no such file name: %w", err)
	}
	return local, nil
}

// fetchFile downloads one object beside its place and then renames it.
func fetchFile(ctx context.Context, store *artifacts.Store, root *os.Root, bucket, key, local string, want artifacts.OutputFile, bar *bar) (err error) {
	if dir := filepath.Dir(local); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	part := filepath.Join(filepath.Dir(local), ".part-"+jobs.NewID())
	f, err := root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(part)
		}
	}()
	sum := sha256.New()
	n, err := store.GetTo(ctx, bucket, key, want.Size, io.MultiWriter(f, sum, bar))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != want.Size || got != want.SHA256 {
		return fmt.Errorf("%w: %d bytes with SHA-256 %s, the result says %d with %s", artifacts.ErrDigestMismatch, n, got, want.Size, want.SHA256)
	}
	return root.Rename(part, local)
}
