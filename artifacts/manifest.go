package artifacts

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
)

const (
	manifestVersion  = 1
	maxManifestBytes = 64 << 20
)

// Manifest says what an attempt produced. Its presence under the job's key is
// the commit: it is written once, by one request that fails if another attempt
// was first, and the outputs it lists are complete before it is.
type Manifest struct {
	Version int      `json:"version"` // 1
	Job     string   `json:"job"`
	Attempt int      `json:"attempt"`
	Worker  string   `json:"worker"`
	Outputs []Output `json:"outputs,omitempty"`
	// Result is what else the committing side wants read back with the outputs,
	// as it wrote it.
	Result json.RawMessage `json:"result,omitempty"`
}

// Output is what was collected from one directory of a job.
type Output struct {
	Guest   string       `json:"guest,omitempty"` // where the guest saw the directory
	Bucket  string       `json:"bucket"`
	Prefix  string       `json:"prefix"` // a file's object is Prefix + Path
	Files   []OutputFile `json:"files"`
	Bytes   int64        `json:"bytes"`
	Deleted []string     `json:"deleted,omitempty"` // staged, and gone after the run
	Refused []Refused    `json:"refused,omitempty"` // at most 100
	// RefusedCount counts all of them.
	RefusedCount int `json:"refused_count,omitempty"`
}

// OutputFile is one collected file.
type OutputFile struct {
	Path   string `json:"path"`   // below the directory
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // 64 hexadecimal digits
}

// Refused is something a guest left that is no output: a link, a device, a name
// that cannot be a key.
type Refused struct {
	Path   string `json:"path"` // quoted when it is not text
	Reason string `json:"reason"`
}

// sameAttempt reports whether both manifests are of one attempt on one worker.
func (m Manifest) sameAttempt(o Manifest) bool {
	return m.Job == o.Job && m.Attempt == o.Attempt && m.Worker == o.Worker
}

// CommitManifest publishes m under key unless a manifest is there already. It
// returns the manifest that stands and whether that is m's attempt: false means
// another attempt won, and the outputs of this one should be discarded.
//
// Calling it again after an error is safe, also when the error hid a success.
func (s *Store) CommitManifest(ctx context.Context, bucket, key string, m Manifest) (Manifest, bool, error) {
	m.Version = manifestVersion
	b, err := json.Marshal(m)
	if err != nil {
		return Manifest{}, false, fmt.Errorf("encode manifest of job %s: %w", m.Job, err)
	}
	if len(b) > maxManifestBytes {
		return Manifest{}, false, fmt.Errorf("manifest of job %s: %w: %d bytes, at most %d are allowed", m.Job, ErrTooLarge, len(b), maxManifestBytes)
	}
	putErr := s.PutIfAbsent(ctx, bucket, key, b)
	if putErr == nil {
		return m, true, nil
	}
	if !errors.Is(putErr, ErrExists) {
		return Manifest{}, false, putErr
	}
	standing, err := s.ReadManifest(ctx, bucket, key)
	if err != nil {
		return Manifest{}, false, fmt.Errorf("another manifest of job %s stands but cannot be read: %w", m.Job, err)
	}
	return standing, standing.sameAttempt(m), nil
}

// ReadManifest returns the committed manifest, or ErrNotFound.
func (s *Store) ReadManifest(ctx context.Context, bucket, key string) (Manifest, error) {
	b, err := s.Get(ctx, bucket, key, maxManifestBytes)
	if err != nil {
		return Manifest{}, err
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return Manifest{}, fmt.Errorf("manifest s3://%s/%s: %w: %w", s.bucket(bucket), key, ErrInvalid, err)
	}
	if m.Version != manifestVersion {
		return Manifest{}, fmt.Errorf("manifest s3://%s/%s: %w: version %d, this program knows %d", s.bucket(bucket), key, ErrInvalid, m.Version, manifestVersion)
	}
	return m, nil
}

// CheckConditionalPut proves that the store honours the condition on which the
// commit rests: some servers take If-None-Match for granted and overwrite. It
// costs three requests; a worker calls it once, when it starts. A store that
// overwrites is ErrInvalid.
func (s *Store) CheckConditionalPut(ctx context.Context) error {
	key := "probes/conditional-put-" + rand.Text()
	first := s.PutIfAbsent(ctx, "", key, []byte("first"))
	if first != nil && !errors.Is(first, ErrExists) {
		return fmt.Errorf("probe conditional put: %w", first)
	}
	defer func() {
		cleanup, cancel := cleanupContext(ctx)
		defer cancel()
		_ = s.Delete(cleanup, "", key) // a few bytes that harm nobody
	}()
	if first != nil {
		// Nobody else knows the key: the answer to the first request was lost,
		// and the store refused its repetition. That is what is asked of it.
		return nil
	}
	switch err := s.PutIfAbsent(ctx, "", key, []byte("second")); {
	case errors.Is(err, ErrExists):
		return nil
	case err == nil:
		return fmt.Errorf("storage at %s: %w: it overwrites an object in spite of If-None-Match: *, so results could be committed twice; use a server that supports conditional writes", s.cfg.Endpoint, ErrInvalid)
	default:
		return fmt.Errorf("probe conditional put: %w", err)
	}
}
