package executor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"boxfleet/artifacts"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// collect uploads what the run leaves: new and changed files of rw mounts when
// the guest ended by itself, and output too long for the record always.
func (r *run) collect(ctx context.Context) error {
	long := len(r.res.Stdout) > jobs.InlineOutput || len(r.res.Stderr) > jobs.InlineOutput
	files := r.res.Outcome == jobs.Succeeded || r.res.Outcome == jobs.Exited
	if files {
		files = false
		if r.space != nil {
			for _, m := range r.space.mounts {
				files = files || m.Mode == limits.ReadWrite
			}
		}
	}
	if !long && !files {
		return nil
	}
	ctx, end := r.a.Begin(ctx, jobs.PhaseUpload)
	err := r.uploadStreams(ctx)
	if err == nil && files {
		err = r.uploadFiles(ctx)
	}
	end(err, attribute.Int64("boxfleet.bytes", r.res.BytesOut), attribute.Int("boxfleet.files", len(r.res.Outputs)))
	if errors.Is(err, artifacts.ErrTooLarge) {
		r.res.Outcome, r.res.ExitCode, r.res.Error = jobs.OutputLimit, -1, err.Error()
		r.res.Outputs, r.res.OutputPrefix = nil, ""
		return nil
	}
	return err
}

// uploadStreams stores long standard output and error as objects and leaves
// their beginnings in the result.
func (r *run) uploadStreams(ctx context.Context) error {
	for _, s := range []struct {
		name string
		data *jobs.Text
		key  *string
	}{{"stdout", &r.res.Stdout, &r.res.StdoutKey}, {"stderr", &r.res.Stderr, &r.res.StderrKey}} {
		if len(*s.data) <= jobs.InlineOutput {
			continue
		}
		key := r.a.RunPrefix() + "stdio/" + s.name
		if err := r.e.store.Put(ctx, "", key, *s.data); err != nil {
			return fmt.Errorf("store %s: %w", s.name, err)
		}
		*s.key = "s3://" + r.e.store.Bucket() + "/" + key
		*s.data = (*s.data)[:jobs.InlineOutput]
	}
	return nil
}

func (r *run) uploadFiles(ctx context.Context) error {
	prefix := r.a.RunPrefix() + "files/"
	left := artifacts.Limits{Bytes: r.e.cfg.MaxOutputBytes, Files: r.e.cfg.MaxOutputFiles}
	for _, m := range r.space.mounts {
		if m.Mode != limits.ReadWrite {
			continue
		}
		under := strings.TrimPrefix(m.Guest, "/")
		if under != "" {
			under += "/"
		}
		out, err := artifacts.Collect(ctx, artifacts.CollectRequest{
			Store: r.e.store, Dir: m.host, Guest: m.Guest, Prefix: prefix + under, Limits: left,
			Trusted: true, Baseline: m.baseline,
		})
		if err != nil {
			return fmt.Errorf("collect the outputs of %s: %w", m.Guest, err)
		}
		for _, f := range out.Files {
			f.Path = under + f.Path
			r.res.Outputs = append(r.res.Outputs, f)
		}
		for _, d := range out.Deleted {
			r.res.Deleted = append(r.res.Deleted, under+d)
		}
		for _, x := range out.Refused {
			r.res.Denials = append(r.res.Denials, jobs.Denial{What: "filesystem", Target: under + x.Path, Rule: "not collected: " + x.Reason, Count: 1})
		}
		r.res.BytesOut += out.Bytes
		if left.Bytes -= out.Bytes; left.Bytes <= 0 {
			left.Bytes = 1
		}
		if left.Files -= len(out.Files); left.Files <= 0 {
			left.Files = 1
		}
	}
	if len(r.res.Outputs) > 0 {
		r.res.OutputPrefix = "s3://" + r.e.store.Bucket() + "/" + prefix
	}
	return nil
}

// Commit stores the manifest of a run by one conditional PUT, unless another
// run's stands already; then that one's result is the job's. After it, outputs
// that were asked for elsewhere are copied there: always those of the manifest
// that stands, so that a repetition changes nothing.
func (e *Executor) Commit(ctx context.Context, a *jobs.Attempt, res *jobs.Result) (*jobs.Result, error) {
	// The store may have been away when the worker started.
	if err := e.CheckStore(ctx); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(res)
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	stands, _, err := e.store.CommitManifest(ctx, "", a.ManifestKey(), artifacts.Manifest{
		Version: 1, Job: a.Job.ID, Attempt: a.Number, Worker: a.Worker, Result: raw,
	})
	if err != nil {
		return nil, err
	}
	// The same attempt number on the same worker may be another run.
	if !bytes.Equal(stands.Result, raw) {
		var other jobs.Result
		if err := json.Unmarshal(stands.Result, &other); err != nil {
			return nil, jobs.Permanent(fmt.Errorf("read the manifest of attempt %d: %w", stands.Attempt, err))
		}
		e.discardResult(ctx, a, res)
		res = &other
	}
	return res, e.publish(ctx, a.Job, res)
}

// publish copies committed outputs to the prefixes their mounts ask for.
func (e *Executor) publish(ctx context.Context, job *jobs.Job, res *jobs.Result) error {
	from, ok := strings.CutPrefix(res.OutputPrefix, "s3://"+e.store.Bucket()+"/")
	if !ok {
		return nil
	}
	for _, m := range job.Options.Mounts() {
		if m.Output == "" {
			continue
		}
		dst, err := artifacts.ParseSource(m.Output)
		if err != nil {
			return jobs.Permanent(err)
		}
		under := strings.TrimPrefix(m.Guest, "/")
		if under != "" {
			under += "/"
		}
		for _, f := range res.Outputs {
			rel, in := strings.CutPrefix(f.Path, under)
			if !in || e.inDeeperMount(job, m, f.Path) {
				continue
			}
			if err := e.store.Copy(ctx, "", from+f.Path, dst.Bucket, dst.Prefix+rel); err != nil {
				return fmt.Errorf("publish %s to %s: %w", f.Path, m.Output, err)
			}
		}
	}
	return nil
}

// inDeeperMount tells whether a path below m belongs to a mount nested in m.
func (e *Executor) inDeeperMount(job *jobs.Job, m limits.Mount, file string) bool {
	for _, other := range job.Options.Mounts() {
		if len(other.Guest) > len(m.Guest) && strings.HasPrefix("/"+file, other.Guest+"/") {
			return true
		}
	}
	return false
}
