package jobs

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/artifacts"
	"boxfleet/limits/permission"
)

// Registered is what a worker knows of one registered version of a module.
type Registered struct {
	Name, Version string
	Level         permission.Level // empty when its manifest names none
	Yanked        bool
	// Trusted tells whether one of the registry's trusted keys has signed it.
	Trusted bool
}

// Bounds of a Registry's memory: how long an answer is good, and how many are
// kept. A new level, yank or signature takes effect within the time.
const (
	registryFresh = 10 * time.Second
	registryKeeps = 4096
)

// Registry answers a worker's question about a module: as what is it
// registered? It asks by digest, so nothing that a job says about its tool
// matters. It is safe for concurrent use.
type Registry struct {
	kv      jetstream.KeyValue
	trusted []ed25519.PublicKey
	now     func() time.Time

	mu    sync.Mutex
	known map[artifacts.Digest]*answer
}

// answer is one lookup that callers share.
type answer struct {
	done chan struct{}
	at   time.Time
	list []Registered
	err  error
}

// OpenRegistry binds to the fleet's registry and completes its index of
// digests, which registries of older versions lack. trusted are the keys whose
// signatures count.
func OpenRegistry(ctx context.Context, js jetstream.JetStream, trusted []ed25519.PublicKey) (*Registry, error) {
	kv, err := bindBucket(ctx, js, BucketTools)
	if err != nil {
		return nil, err
	}
	if err := completeIndex(ctx, kv); err != nil {
		return nil, err
	}
	return &Registry{kv: kv, trusted: trusted, now: time.Now, known: map[artifacts.Digest]*answer{}}, nil
}

// completeIndex writes the entries that lead from a digest to its manifests
// where they are missing.
func completeIndex(ctx context.Context, kv jetstream.KeyValue) error {
	got, err := read(ctx, kv, nil, jetstream.IgnoreDeletes(), jetstream.MetaOnly())
	if err != nil {
		return fmt.Errorf("read the registry: %w", err)
	}
	indexed := map[string]bool{}
	for key := range got {
		if kind, rest := splitToolKey(key); kind == digestPrefix {
			_, tool, _ := strings.Cut(rest, ".")
			indexed[tool] = true
		}
	}
	for key := range got {
		if kind, _ := splitToolKey(key); kind != "" || indexed[key] {
			continue
		}
		entry, err := kv.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("read tool %s: %w", key, err)
		}
		m, err := decodeManifest(key, entry.Value())
		if err != nil {
			return err
		}
		if _, err := kv.Create(ctx, digestKey(m.Digest, m.Name, m.Version), nil); err != nil && !isConflict(err) {
			return fmt.Errorf("index tool %s: %w", key, err)
		}
	}
	return nil
}

// Lookup lists the versions that a module is registered as; none when nobody
// registered it. An error means that the registry cannot be read.
func (r *Registry) Lookup(ctx context.Context, d artifacts.Digest) ([]Registered, error) {
	r.mu.Lock()
	a := r.known[d]
	if a == nil || a.stale(r.now()) {
		a = &answer{done: make(chan struct{}), at: r.now()}
		r.makeRoom()
		r.known[d] = a
		r.mu.Unlock()
		go r.ask(context.WithoutCancel(ctx), d, a) // also for those who wait with this caller
	} else {
		r.mu.Unlock()
	}
	select {
	case <-a.done:
		return a.list, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// stale tells whether an answer is to be asked for again. One that is under way
// never is.
func (a *answer) stale(now time.Time) bool {
	select {
	case <-a.done:
		return a.err != nil || now.Sub(a.at) > registryFresh
	default:
		return false
	}
}

// ask looks a digest up for everyone who waits for a.
func (r *Registry) ask(ctx context.Context, d artifacts.Digest, a *answer) {
	defer close(a.done)
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	list, err := byDigest(ctx, r.kv, d)
	if err != nil {
		a.err = err
		return
	}
	for i := range list {
		m := &list[i]
		a.list = append(a.list, Registered{
			Name: m.Name, Version: m.Version, Level: m.PermissionLevel(), Yanked: m.Yanked != nil, Trusted: r.trusts(m),
		})
	}
}

func (r *Registry) trusts(m *Manifest) bool {
	for _, key := range r.trusted {
		if m.SignedBy(key) {
			return true
		}
	}
	return false
}

// makeRoom drops answers when there are too many: old ones, else any. r.mu is
// held.
func (r *Registry) makeRoom() {
	if len(r.known) < registryKeeps {
		return
	}
	now := r.now()
	for d, a := range r.known {
		if a.stale(now) {
			delete(r.known, d)
		}
	}
	for d := range r.known {
		if len(r.known) < registryKeeps {
			return
		}
		delete(r.known, d)
	}
}
