package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"boxfleet/artifacts"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// The result cache answers a deterministic job with what an equal one has
// left, if the job asks for it. Equal is: the tenant, the module, its name and
// arguments, standard input, variables, every mount's content and what the
// worker grants. What cannot be named by content (a prefix that may have
// changed, a secret, the network) makes a job unequal to all.

// reuseVersion changes when the same run may give another result than before:
// another metering, other fixed clocks.
const reuseVersion = 1

// maxReuseEntry bounds an entry: a result is at most one message.
const maxReuseEntry = 8 << 20

// reuseKey is everything a deterministic run depends on.
type reuseKey struct {
	Version int
	Tool    artifacts.Digest
	Name    string
	Args    []string
	Stdin   string // a digest, or the digest of the inline text
	Env     []string
	Mounts  []reuseMount
	Grant   limits.Grant
}

type reuseMount struct {
	Guest, Mode, Source string
}

// reuseEntry is what the store keeps under a key.
type reuseEntry struct {
	V      int          `json:"v"`
	Job    string       `json:"job"`
	Result *jobs.Result `json:"result"`
}

// reuseObject gives the key of the entry that answers this run; "" when it
// did not ask for one, or cannot have one.
func (r *run) reuseObject() string {
	job := r.a.Job
	o := &job.Options
	if !job.ReuseResult || job.CompileOnly || !o.Deterministic || len(o.AllowedOutboundHosts) > 0 {
		return ""
	}
	for _, v := range o.EnvVars {
		if strings.HasPrefix(v, limits.SecretPrefix) {
			return ""
		}
	}
	k := reuseKey{Version: reuseVersion, Tool: job.Tool.Digest, Name: job.Tool.Name, Args: job.Args, Env: r.env, Grant: r.grant}
	if s := job.Stdin; s != nil {
		ref := jobs.ObjectRef{Digest: artifacts.DigestBytes([]byte(s.Inline))}
		if s.Source != "" {
			var err error
			if ref, err = s.Object(); err != nil || ref.Digest == "" {
				return ""
			}
		}
		k.Stdin = string(ref.Digest)
	}
	for _, m := range o.Mounts() {
		if m.Source != "" {
			if src, err := artifacts.ParseSource(m.Source); err != nil || src.Tree == "" {
				return ""
			}
		}
		k.Mounts = append(k.Mounts, reuseMount{m.Guest, string(m.Mode), m.Source})
	}
	text, err := json.Marshal(k)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return "results/" + job.Tenant + "/" + hex.EncodeToString(sum[:]) + ".json"
}

// reuse answers the run from the result cache. False means that it has to be
// run: an entry that is missing, unreadable or points at nothing is no error.
func (r *run) reuse(ctx context.Context) (bool, error) {
	key := r.reuseObject()
	if key == "" {
		return false, nil
	}
	ctx, end := r.a.Begin(ctx, jobs.PhaseReuse)
	hit, err := r.reuseEntry(ctx, key)
	end(err, attribute.Bool("boxfleet.result_cache_hit", hit))
	return hit, err
}

func (r *run) reuseEntry(ctx context.Context, key string) (bool, error) {
	data, err := r.e.store.Get(ctx, "", key, maxReuseEntry)
	switch {
	case errors.Is(err, artifacts.ErrNotFound), errors.Is(err, artifacts.ErrTooLarge):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look a result up: %w", err)
	}
	var e reuseEntry
	if json.Unmarshal(data, &e) != nil || e.V != reuseVersion || e.Result == nil || e.Result.Outcome != jobs.Succeeded || !jobs.ValidID(e.Job) {
		r.e.cfg.Log.WarnContext(ctx, "an entry of the result cache cannot be read; running the job", "key", key)
		return false, nil
	}
	if err := r.copyOutputs(ctx, &e); err != nil {
		if artifacts.Class(err) != artifacts.Permanent {
			return false, err
		}
		r.e.cfg.Log.InfoContext(ctx, "an entry of the result cache names outputs that are gone; running the job", "key", key, "error", err)
		return false, nil
	}
	return true, nil
}

// copyOutputs makes the run's result of an entry's. The files become objects
// of this run: what becomes of the other job's is not this one's business.
func (r *run) copyOutputs(ctx context.Context, e *reuseEntry) error {
	own := "s3://" + r.e.store.Bucket() + "/"
	theirs := own + "out/" + r.a.Job.Tenant + "/" + e.Job + "/"
	res := *e.Result
	res.ReusedFrom = e.Job
	res.BytesIn, res.CacheHit = 0, ""
	if len(res.Outputs) > 0 {
		from, ok := strings.CutPrefix(res.OutputPrefix, theirs)
		if !ok || !strings.HasSuffix(from, "/files/") {
			return fmt.Errorf("%w: it names outputs at %q", artifacts.ErrInvalid, res.OutputPrefix)
		}
		from = strings.TrimPrefix(res.OutputPrefix, own)
		to := r.a.RunPrefix() + "files/"
		for _, f := range res.Outputs {
			if err := artifacts.CheckPath(f.Path); err != nil {
				return err
			}
			if err := r.e.store.Copy(ctx, "", from+f.Path, "", to+f.Path); err != nil {
				return fmt.Errorf("copy an output of job %s: %w", e.Job, err)
			}
		}
		res.OutputPrefix = own + to
	}
	r.res = &res
	return nil
}

// remember stores the run's result for equal jobs to come. Long output streams
// are objects of this job alone; a result with such is not kept. Losing an
// entry costs a run, so errors are only logged.
func (r *run) remember(ctx context.Context) {
	key := r.reuseObject()
	if key == "" || r.res.Outcome != jobs.Succeeded || r.res.StdoutKey != "" || r.res.StderrKey != "" {
		return
	}
	data, err := json.Marshal(reuseEntry{V: reuseVersion, Job: r.a.Job.ID, Result: r.res})
	if err == nil && len(data) <= maxReuseEntry {
		err = r.e.store.Put(ctx, "", key, data)
	}
	if err != nil && ctx.Err() == nil {
		r.e.cfg.Log.WarnContext(ctx, "cannot keep a result for equal jobs", "job", r.a.Job.ID, "error", err)
	}
}
