package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"boxfleet/artifacts"
	"boxfleet/executor/sandboxfs"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// workspace is what a job has on the worker's disk. A job without files has
// none.
type workspace struct {
	dir    *artifacts.Workspace
	fs     *sandboxfs.FS
	stdin  *os.File
	mounts []stagedMount
}

// stagedMount is a mount with the host directory behind it.
type stagedMount struct {
	limits.Mount
	host     string
	baseline map[string]artifacts.Digest // what was staged, by path; rw only
}

// stage fills the workspace: inputs of every mount, standard input.
func (r *run) stage(ctx context.Context) error {
	job := r.a.Job
	mounts := job.Options.Mounts()
	fromStore := job.Stdin != nil && job.Stdin.Source != ""
	if len(mounts) == 0 && !fromStore {
		return nil
	}
	ctx, end := r.a.Begin(ctx, jobs.PhaseStage)
	err := r.stageAll(ctx, mounts, fromStore)
	end(err, attribute.Int64("boxfleet.bytes", r.res.BytesIn))
	return r.stageRefusal(err)
}

func (r *run) stageAll(ctx context.Context, mounts []limits.Mount, fromStore bool) error {
	dir, err := r.e.spaces.New(r.a.Job.ID, r.a.Number)
	if err != nil {
		return err
	}
	r.space = &workspace{dir: dir}
	r.defers(func() { r.e.removeWorkspace(dir) })
	if err := r.e.checkSpace(); err != nil {
		return err
	}
	if fromStore {
		if err := r.stageStdin(ctx); err != nil {
			return err
		}
	}
	if len(mounts) == 0 {
		return nil
	}
	hosts := make([]sandboxfs.Mount, 0, len(mounts))
	for i, m := range mounts {
		sm, err := r.stageMount(ctx, i, m)
		if err != nil {
			return fmt.Errorf("mount %s: %w", m.Guest, err)
		}
		r.space.mounts = append(r.space.mounts, sm)
		mode := sandboxfs.ReadWrite
		if m.Mode == limits.ReadOnly {
			mode = sandboxfs.ReadOnly
		}
		hosts = append(hosts, sandboxfs.Mount{Guest: m.Guest, Host: sm.host, Mode: mode, NoDevices: true})
	}
	r.space.fs, err = sandboxfs.New(hosts, sandboxfs.Quota{
		WrittenBytes: int64(r.grant.WrittenBytes), Files: int64(r.grant.Files), OpenFiles: int(r.grant.OpenFiles),
	})
	if err != nil {
		return err
	}
	r.defers(func() { _ = r.space.fs.Close() })
	return nil
}

// stageMount gives one mount its directory. A read-only tree is staged once
// and shared by all jobs that use it; everything else is private.
func (r *run) stageMount(ctx context.Context, i int, m limits.Mount) (stagedMount, error) {
	sm := stagedMount{Mount: m}
	name := fmt.Sprintf("m%d", i)
	if m.Source == "" {
		var err error
		sm.host, err = r.space.dir.Sub(name)
		return sm, err
	}
	src, err := artifacts.ParseSource(m.Source)
	if err != nil {
		return sm, &refusal{jobs.Invalid, err}
	}
	// A tree that covers a mount point below it must be private: the mount
	// point has to exist in it.
	if src.IsTree() && m.Mode == limits.ReadOnly && !r.covers(m.Guest) {
		tree, _, err := r.e.cache.Tree(ctx, r.e.store, src.Tree, r.inputLimits())
		if err != nil {
			return sm, err
		}
		r.defers(tree.Release)
		r.res.BytesIn += tree.Tree.Bytes()
		sm.host = tree.Dir
		return sm, nil
	}
	host, report, err := r.space.dir.Stage(ctx, name, artifacts.StageRequest{
		Store: r.e.store, Cache: r.e.cache, Source: src, Limits: r.inputLimits(),
		Tenant: r.a.Job.Tenant, Access: r.e.cfg.Access, Baseline: m.Mode == limits.ReadWrite,
	})
	if err != nil {
		return sm, err
	}
	r.res.BytesIn += report.Bytes
	sm.host, sm.baseline = host, report.Baseline
	return sm, nil
}

// covers tells whether another mount of the job lies below guest.
func (r *run) covers(guest string) bool {
	below := strings.TrimSuffix(guest, "/") + "/"
	for _, m := range r.a.Job.Options.Mounts() {
		if m.Guest != guest && strings.HasPrefix(m.Guest, below) {
			return true
		}
	}
	return false
}

// inputLimits bounds what one more mount may stage.
func (r *run) inputLimits() artifacts.Limits {
	return artifacts.Limits{Bytes: max(1, r.e.cfg.MaxInputBytes-r.res.BytesIn), Files: r.e.cfg.MaxInputFiles}
}

// stageStdin puts standard input into a file of the workspace.
func (r *run) stageStdin(ctx context.Context) error {
	ref, err := r.a.Job.Stdin.Object()
	if err != nil {
		return &refusal{jobs.Invalid, fmt.Errorf("stdin.source: %w", err)}
	}
	dir, err := r.space.dir.Sub("stdin")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "stdin-*")
	if err != nil {
		return fmt.Errorf("stage stdin: %w", err)
	}
	r.defers(func() { _ = f.Close() })
	var n int64
	limit := r.inputLimits().Bytes
	if ref.Digest != "" {
		n, err = r.e.store.GetBlob(ctx, ref.Digest, limit, f)
	} else {
		n, err = r.e.store.GetTo(ctx, ref.Bucket, ref.Key, limit, f)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("stage stdin from %s: %w", r.a.Job.Stdin.Source, err)
	}
	r.res.BytesIn += n
	r.space.stdin = f
	return nil
}

// stageRefusal tells what the job asked wrongly from what the fleet failed at.
func (r *run) stageRefusal(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, artifacts.ErrAccess):
		return &refusal{jobs.Denied, err}
	case errors.Is(err, artifacts.ErrNotFound), errors.Is(err, artifacts.ErrInvalidName),
		errors.Is(err, artifacts.ErrInvalid), errors.Is(err, artifacts.ErrTooLarge), errors.Is(err, artifacts.ErrDigestMismatch):
		return &refusal{jobs.Invalid, err}
	}
	return err
}

// checkAccess holds every place the job names against the operator's rules,
// before the worker's own credentials touch any.
func (e *Executor) checkAccess(job *jobs.Job) error {
	check := func(field, place string, write bool) error {
		src, err := artifacts.ParseSource(place)
		if err != nil {
			return &refusal{jobs.Invalid, fmt.Errorf("%s: %w", field, err)}
		}
		if src.IsTree() {
			return nil
		}
		if err := e.cfg.Access.Check(job.Tenant, src.Bucket, src.Prefix, write); err != nil {
			return &refusal{jobs.Denied, fmt.Errorf("%s: %w", field, err)}
		}
		return nil
	}
	for _, m := range job.Options.Mounts() {
		if m.Source != "" {
			if err := check("mount "+m.Guest, m.Source, false); err != nil {
				return err
			}
		}
		if m.Output != "" {
			if err := check("output of mount "+m.Guest, m.Output, true); err != nil {
				return err
			}
		}
	}
	if s := job.Stdin; s != nil && s.Source != "" {
		ref, err := s.Object()
		if err != nil {
			return &refusal{jobs.Invalid, fmt.Errorf("stdin.source: %w", err)}
		}
		if ref.Bucket != "" {
			if err := e.cfg.Access.Check(job.Tenant, ref.Bucket, ref.Key, false); err != nil {
				return &refusal{jobs.Denied, fmt.Errorf("stdin.source: %w", err)}
			}
		}
	}
	return nil
}

// checkSpace: a job with files starts only when there is room for them.
func (e *Executor) checkSpace() error { return artifacts.CheckSpace(e.spaces.Dir(), e.cfg.MinFree) }

func (e *Executor) removeWorkspace(w *artifacts.Workspace) {
	if err := w.Remove(); err != nil {
		e.cfg.Log.Error("cannot remove a workspace; it is swept at the next start", "error", err)
	}
}
