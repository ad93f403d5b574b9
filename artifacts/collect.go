package artifacts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// CollectRequest says what to upload and where to.
type CollectRequest struct {
	Store *Store
	Dir   string // on the worker, private to the attempt
	Guest string // where the guest saw it, for the manifest

	Bucket string // "" is the store's
	Prefix string // "" or ends in a slash
	Limits Limits

	// Tenant and Access decide whether Bucket and Prefix may be written. With
	// Trusted they are not asked: for places that boxfleet itself chose.
	Tenant  string
	Access  Access
	Trusted bool

	// Baseline is what was staged here, by path: StageReport.Baseline. Files that
	// are still the same are no outputs and are not sent; those that are gone are
	// listed as Deleted.
	Baseline map[string]Digest
}

// Collect uploads the regular files of a directory and returns what they are.
// Everything is counted before anything is sent: over the limits is ErrTooLarge
// and leaves no object behind.
//
// Links, devices, pipes and sockets are never followed or opened, but listed as
// refused, as are names that cannot be keys. Directories without files leave no
// trace, as the store has no directories.
func Collect(ctx context.Context, req CollectRequest) (Output, error) {
	bucket := req.Store.bucket(req.Bucket)
	out := Output{Guest: req.Guest, Bucket: bucket, Prefix: req.Prefix, Files: []OutputFile{}}
	if req.Prefix != "" && !strings.HasSuffix(req.Prefix, "/") {
		return out, fmt.Errorf("collect into s3://%s/%s: %w: the prefix does not end in a slash", bucket, req.Prefix, ErrInvalidName)
	}
	if !req.Trusted {
		if err := req.Access.Check(req.Tenant, bucket, req.Prefix, true); err != nil {
			return out, fmt.Errorf("collect: %w", err)
		}
	}
	root, err := os.OpenRoot(req.Dir)
	if err != nil {
		return out, fmt.Errorf("collect: %w", err)
	}
	defer root.Close()

	w := &walker{root: root, out: &out, count: tally{limits: req.Limits.WithDefaults()}}
	if err := w.walk(ctx, "."); err != nil {
		return out, fmt.Errorf("collect %s: %w", cmp.Or(req.Guest, req.Dir), err)
	}
	slices.SortFunc(out.Files, func(a, b OutputFile) int { return cmp.Compare(a.Path, b.Path) })

	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(req.Store.cfg.Parallel)
	for i := range out.Files {
		g.Go(func() error {
			f := &out.Files[i]
			return collectFile(gctx, req.Store, root, bucket, req.Prefix, f, req.Baseline[f.Path])
		})
	}
	if err := g.Wait(); err != nil {
		return out, fmt.Errorf("collect %s: %w", cmp.Or(req.Guest, req.Dir), err)
	}
	out.dropUnchanged(req.Baseline)
	return out, nil
}

// dropUnchanged takes files that equal what was staged out of the outputs and
// lists those that are gone.
func (o *Output) dropUnchanged(baseline map[string]Digest) {
	there := make(map[string]bool, len(baseline))
	kept := o.Files[:0]
	for _, f := range o.Files {
		if d, staged := baseline[f.Path]; staged {
			there[f.Path] = true
			if d.Hex() == f.SHA256 {
				continue
			}
		}
		o.Bytes += f.Size
		kept = append(kept, f)
	}
	o.Files = kept
	for p := range baseline {
		if !there[p] {
			o.Deleted = append(o.Deleted, p)
		}
	}
	slices.Sort(o.Deleted)
}

// collectFile hashes one file, fills in its digest and uploads it unless it is
// what was staged.
func collectFile(ctx context.Context, s *Store, root *os.Root, bucket, prefix string, f *OutputFile, staged Digest) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	file, err := root.OpenFile(f.Path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() || st.Size() != f.Size {
		return fmt.Errorf("file %q: %w: it changed while it was collected", f.Path, ErrInvalid)
	}
	d, _, err := DigestReader(io.NewSectionReader(file, 0, f.Size))
	if err != nil {
		return fmt.Errorf("read %q: %w", f.Path, err)
	}
	if f.SHA256 = d.Hex(); d == staged {
		return nil
	}
	return s.putContent(ctx, bucket, prefix+f.Path, d, f.Size, file)
}

// walker lists the files below a directory that a guest filled.
type walker struct {
	root  *os.Root
	out   *Output
	count tally
	seen  int // entries of any kind
}

// walk lists dir, which CheckPath accepts or is ".". Its recursion is bounded by
// the limit on depth.
func (w *walker) walk(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d, err := w.root.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		// In batches, so that a directory of a million names costs no memory
		// before it is over the limit.
		entries, err := d.ReadDir(1024)
		for _, e := range entries {
			if err := w.entry(ctx, path.Join(dir, e.Name()), e); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list %q: %w", dir, err)
		}
	}
}

func (w *walker) entry(ctx context.Context, rel string, e fs.DirEntry) error {
	// Refused entries and directories count too: walking them is work.
	if w.seen++; w.seen > 2*w.count.limits.Files {
		return fmt.Errorf("%w: more than %d files, links and directories", ErrTooLarge, 2*w.count.limits.Files)
	}
	if err := CheckPath(rel); err != nil {
		w.refuse(rel, "the name cannot be an object key")
		return nil
	}
	switch e.Type() {
	case fs.ModeDir:
		if depth(rel) >= w.count.limits.Depth {
			return fmt.Errorf("directory %q: %w: %d levels deep where %d are allowed", rel, ErrTooLarge, depth(rel)+1, w.count.limits.Depth)
		}
		return w.walk(ctx, rel)
	case 0:
		st, err := w.root.Lstat(rel)
		if err != nil {
			return err
		}
		if len(w.out.Prefix)+len(rel) > maxKey {
			w.refuse(rel, "the name makes an object key of more than 1024 bytes")
			return nil
		}
		if err := w.count.add(rel, st.Size()); err != nil {
			return err
		}
		w.out.Files = append(w.out.Files, OutputFile{Path: rel, Size: st.Size()})
	case fs.ModeSymlink:
		w.refuse(rel, "a symbolic link")
	default:
		w.refuse(rel, "not a regular file: "+e.Type().String())
	}
	return nil
}

func (w *walker) refuse(rel, reason string) {
	if w.out.RefusedCount++; len(w.out.Refused) >= maxNoted {
		return
	}
	if !utf8.ValidString(rel) || CheckPath(rel) != nil {
		rel = strconv.Quote(rel)
	}
	w.out.Refused = append(w.out.Refused, Refused{Path: rel, Reason: reason})
}
