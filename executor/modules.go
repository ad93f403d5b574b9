package executor

import (
	"cmp"
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"go.opentelemetry.io/otel/metric"

	"boxfleet/artifacts"
	"boxfleet/executor/meter"
	"boxfleet/executor/wasihttp"
	"boxfleet/limits/metering"
)

// module is a compiled module, shared by all its instances.
type module struct {
	compiled wazero.CompiledModule
	info     *metering.Info
	weight   int64
	starts   []string // the exports to call, the last of which runs the program
	network  bool     // it imports wasi:http or what belongs to it
	image    *meter.Image

	refs int           // guarded by moduleCache.mu
	elem *list.Element // in the LRU list; nil once evicted
	own  wazero.Runtime
}

// badModuleError says that a module can never run here: the job is invalid.
type badModuleError struct{ err error }

func (e *badModuleError) Error() string { return e.err.Error() }
func (e *badModuleError) Unwrap() error { return e.err }

// moduleCache finds compiled modules by digest: in memory, or compiled code on
// disk, or by compiling. Callers of one digest join.
type moduleCache struct {
	native   *nativeStore
	share    *codeShare // nil without a key
	fresh    func(ctx context.Context) (wazero.Runtime, error)
	rewrite  metering.Config
	dir      string // of everything compiled, for its size
	wasmDir  string // what is kept of modules besides native code, by digest
	compiles metric.Int64Counter
	log      *slog.Logger
	maxBytes int64 // in memory
	maxDisk  int64
	queue    *compileQueue

	sharing     sync.WaitGroup // uploads
	sharingCtx  context.Context
	stopSharing context.CancelFunc

	mu      sync.Mutex
	byID    map[artifacts.Digest]*module
	lru     *list.List // of artifacts.Digest, most recent first
	bytes   int64
	pending map[artifacts.Digest]*compiling
}

// compiling is a compilation that callers wait for. It belongs to none of
// them, so that one caller's end does not fail the others.
type compiling struct {
	done    chan struct{}
	turn    *compileTurn
	waiters int  // callers that will hold m; guarded by moduleCache.mu
	counted bool // m.refs has the waiters; guarded likewise
	m       *module
	err     error
	hit     string // "disk" or "fleet"; empty for compiled
}

// source gives a module's bytes when they are needed, as a file of this disk.
type source func(ctx context.Context) (*artifacts.Blob, error)

// parking lets a job leave its slot while it waits for a compiler.
type parking interface {
	Park()
	Unpark(ctx context.Context) error
}

// get gives the compiled module of a digest and where it was found: "memory",
// "disk", "fleet" or "none". The caller calls release when its instance is gone.
// ahead says that no job waits for the module yet.
func (c *moduleCache) get(ctx context.Context, d artifacts.Digest, read source, ahead bool, park parking) (m *module, hit string, err error) {
	c.mu.Lock()
	if m := c.byID[d]; m != nil {
		m.refs++
		c.lru.MoveToFront(m.elem)
		c.mu.Unlock()
		return m, "memory", nil
	}
	p := c.pending[d]
	if p == nil {
		p = &compiling{done: make(chan struct{}), turn: newCompileTurn(ahead)}
		c.pending[d] = p
		go c.compile(context.WithoutCancel(ctx), d, read, p)
	} else if !ahead {
		c.queue.hurry(p.turn)
	}
	p.waiters++
	c.mu.Unlock()

	// A module that loads from disk is there in a moment; one that must be
	// compiled may take seconds, and the slot is better used by another job.
	patience := time.NewTimer(20 * time.Millisecond)
	defer patience.Stop()
	select {
	case <-p.done:
	case <-ctx.Done():
		c.leave(p)
		return nil, "", context.Cause(ctx)
	case <-patience.C:
		park.Park()
		select {
		case <-p.done:
		case <-ctx.Done():
		}
		err := park.Unpark(ctx)
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			c.leave(p)
			return nil, "", err
		}
	}
	if p.err != nil {
		return nil, "", p.err
	}
	return p.m, cmp.Or(p.hit, "none"), nil
}

// leave takes back the hold of a caller that waits no longer.
func (c *moduleCache) leave(p *compiling) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !p.counted:
		p.waiters--
	case p.m != nil:
		c.unhold(p.m)
	}
}

// has tells whether get will find the module without its bytes.
func (c *moduleCache) has(d artifacts.Digest) bool {
	c.mu.Lock()
	known := c.byID[d] != nil || c.pending[d] != nil
	c.mu.Unlock()
	if known {
		return true
	}
	_, err := os.Stat(filepath.Join(c.wasmDir, d.Hex()))
	return err == nil
}

// compile makes the module for everyone who waits for it.
func (c *moduleCache) compile(ctx context.Context, d artifacts.Digest, read source, p *compiling) {
	defer func() {
		if r := recover(); r != nil {
			p.err = &badModuleError{fmt.Errorf("the compiler panicked on module %s: %v", d.Short(), r)}
		}
		c.mu.Lock()
		delete(c.pending, d)
		if p.m != nil {
			p.m.refs = p.waiters // before anything can evict it
			c.adopt(d, p.m)
		}
		p.counted = true
		c.mu.Unlock()
		close(p.done)
	}()
	path := filepath.Join(c.wasmDir, d.Hex())
	k, err := readKept(path)
	if err == nil {
		if p.m, err = c.keptModule(ctx, k); err == nil {
			p.hit = "disk"
			now := time.Now()
			_ = os.Chtimes(path, now, now)
			return
		}
	}
	if !errors.Is(err, fs.ErrNotExist) { // a damaged cache costs a compilation, nothing else
		c.log.Warn("the compile cache is damaged; the module is compiled again", "module", d.Short(), "error", err)
	}
	_ = os.Remove(path)
	forged := false
	if c.share != nil {
		if p.m, forged = c.shared(ctx, d, path); p.m != nil {
			p.hit = "fleet"
			return
		}
	}
	raw, err := c.inTurn(ctx, read, p.turn)
	if err != nil {
		p.err = err
		return
	}
	defer c.queue.leave(p.turn)
	ready, err := rewritten(raw, c.rewrite)
	if err != nil {
		p.err = err
		return
	}
	c.compiles.Add(ctx, 1)
	if p.m, k, err = c.keep(ctx, path, ready); err != nil {
		// Either nobody can compile it, or the disk does not keep it.
		if p.m, p.err = c.freshModule(ctx, ready); p.err == nil {
			c.log.Warn("the compile cache does not keep a module", "module", d.Short(), "error", err)
		}
		return
	}
	c.sweep()
	if c.share != nil {
		c.sharing.Go(func() { c.offer(d, k, forged) })
	}
}

// shared gets a module that another worker has compiled, or nil. forged tells
// that there is an entry which cannot be used.
func (c *moduleCache) shared(ctx context.Context, d artifacts.Digest, path string) (m *module, forged bool) {
	k, forged, err := c.share.get(ctx, d, c.native)
	if err == nil {
		m, err = c.keptModule(ctx, k)
	}
	if err != nil {
		if !errors.Is(err, artifacts.ErrNotFound) {
			c.log.Warn("the fleet's compiled code is not used; the module is compiled here", "module", d.Short(), "error", err)
		}
		return nil, forged
	}
	c.write(k, path)
	c.sweep()
	return m, false
}

// offer shares a module with other workers.
func (c *moduleCache) offer(d artifacts.Digest, k *kept, instead bool) {
	if err := c.share.put(c.sharingCtx, d, k, c.native, instead); err != nil && c.sharingCtx.Err() == nil {
		c.log.Warn("the compiled code is not shared with the fleet", "module", d.Short(), "error", err)
	}
}

// close ends what goes on without callers.
func (c *moduleCache) close() {
	c.stopSharing()
	c.sharing.Wait()
}

// inTurn waits for the module's turn to compile and gives its bytes. The caller
// ends the turn, unless there is an error.
func (c *moduleCache) inTurn(ctx context.Context, read source, turn *compileTurn) (_ []byte, err error) {
	blob, err := read(ctx)
	if err != nil {
		return nil, err
	}
	defer blob.Release()
	turn.small = blob.Size <= smallModule
	if err := c.queue.wait(ctx, turn); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(blob.Path)
	if err != nil {
		c.queue.leave(turn)
	}
	return raw, err
}

// keep compiles a program, keeps the result at path and below the native
// store, and loads it from there.
func (c *moduleCache) keep(ctx context.Context, path string, p *program) (*module, *kept, error) {
	k, err := c.native.compile(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	m, err := c.keptModule(ctx, k)
	if err != nil {
		return nil, nil, err
	}
	c.write(k, path)
	return m, k, nil
}

// write keeps a module whose native code is in place. What is in memory serves
// without it as long as it stays.
func (c *moduleCache) write(k *kept, path string) {
	data, err := k.encode()
	if err == nil {
		err = writeAtomic(path, data)
	}
	if err != nil {
		c.log.Warn("the compile cache does not keep a module", "file", path, "error", err)
	}
}

// keptModule loads a module of which the cache has all that is needed.
func (c *moduleCache) keptModule(ctx context.Context, k *kept) (*module, error) {
	compiled, err := c.native.load(ctx, k)
	if err != nil {
		return nil, err
	}
	m, err := newModule(ctx, c.native.rt, compiled, &k.initial, k.image)
	if err != nil {
		return nil, err
	}
	m.weight += k.NativeSize + 2*int64(len(k.skeleton))
	now := time.Now() // for the sweep's least recently used
	_ = os.Chtimes(filepath.Join(c.native.dir, k.Native), now, now)
	return m, nil
}

// freshModule compiles a program that no cache is to know of.
func (c *moduleCache) freshModule(ctx context.Context, p *program) (*module, error) {
	rt, err := c.fresh(ctx)
	if err != nil {
		return nil, err
	}
	compiled, err := rt.CompileModule(ctx, p.wasm)
	if err != nil {
		return nil, errors.Join(&badModuleError{fmt.Errorf("the module does not compile: %w", err)}, rt.Close(ctx))
	}
	m, err := newModule(ctx, rt, compiled, &p.initial, p.image)
	if err != nil {
		return nil, errors.Join(err, rt.Close(ctx))
	}
	m.weight += 3 * int64(len(p.wasm))
	m.own = rt
	return m, nil
}

// newModule completes what was compiled in rt. On an error it is closed.
func newModule(ctx context.Context, rt wazero.Runtime, compiled wazero.CompiledModule, p *initial, image []metering.Run) (*module, error) {
	m := &module{compiled: compiled, info: &metering.Info{Memories: p.Memories, Tables: p.Tables}}
	if p.Initialize {
		m.starts = append(m.starts, "_initialize")
	}
	m.starts = append(m.starts, p.Start)
	for _, name := range m.starts {
		if err := checkStart(compiled, name); err != nil {
			return nil, errors.Join(&badModuleError{err}, compiled.Close(ctx))
		}
	}
	var needs []string
	for _, f := range compiled.ImportedFunctions() {
		from, _, _ := f.Import()
		if wasihttp.Supported(from) && !slices.Contains(needs, from) {
			needs = append(needs, from)
		}
	}
	if m.network = len(needs) > 0; m.network {
		if err := wasihttp.Register(ctx, rt, needs); err != nil {
			return nil, errors.Join(fmt.Errorf("set up the network's host modules: %w", err), compiled.Close(ctx))
		}
	}
	m.image = meter.NewImage(image)
	m.weight = m.image.Size()
	return m, nil
}

// uncached compiles a module for one job alone ("cache": false).
func (c *moduleCache) uncached(ctx context.Context, read source) (*module, error) {
	turn := newCompileTurn(false)
	raw, err := c.inTurn(ctx, read, turn)
	if err != nil {
		return nil, err
	}
	defer c.queue.leave(turn)
	ready, err := rewritten(raw, c.rewrite)
	if err != nil {
		return nil, err
	}
	c.compiles.Add(ctx, 1)
	m, err := c.freshModule(ctx, ready)
	if err == nil {
		m.refs = 1
	}
	return m, err
}

// adopt puts m into the memory cache and evicts what is too much. c.mu is held.
func (c *moduleCache) adopt(d artifacts.Digest, m *module) {
	if old := c.byID[d]; old != nil && old != m {
		c.evict(old)
	}
	c.byID[d] = m
	m.elem = c.lru.PushFront(d)
	c.bytes += m.weight
	for e := c.lru.Back(); e != nil && c.bytes > c.maxBytes; {
		prev := e.Prev()
		if idle := c.byID[e.Value.(artifacts.Digest)]; idle.refs == 0 && idle != m {
			c.evict(idle)
		}
		e = prev
	}
}

// evict takes m out of the memory cache; its code goes when nobody uses it.
// c.mu is held.
func (c *moduleCache) evict(m *module) {
	delete(c.byID, c.lru.Remove(m.elem).(artifacts.Digest))
	m.elem = nil
	c.bytes -= m.weight
	if m.refs == 0 {
		m.close()
	}
}

func (c *moduleCache) release(m *module) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unhold(m)
}

// unhold is release with c.mu held.
func (c *moduleCache) unhold(m *module) {
	if m.refs--; m.refs == 0 && m.elem == nil {
		m.close()
	}
}

func (m *module) close() {
	ctx := context.Background()
	_ = m.compiled.Close(ctx)
	m.image.Close()
	if m.own != nil {
		_ = m.own.Close(ctx)
	}
}

// sweep bounds the compile cache on disk: the files not used for longest go.
func (c *moduleCache) sweep() {
	c.native.sweeping.Lock()
	defer c.native.sweeping.Unlock()
	_ = trimDir(c.dir, c.maxDisk)
}

// codeVersion changes with the form of what is kept of modules, wazeroRelease
// with go.mod.
const (
	codeVersion   = 1
	wazeroRelease = "v1.12.0"
)

// codeKey names everything that native code depends on besides its module.
func codeKey(cfg metering.Config, engine string) string {
	return fmt.Sprintf("boxfleet code %d, metering %s, wazero %s, engine %s", codeVersion, cfg.Key(), wazeroRelease, engine)
}

// cacheSubdir keeps apart what different keys belong to.
func cacheSubdir(codeKey string) string {
	sum := sha256.Sum256([]byte(codeKey))
	return hex.EncodeToString(sum[:8])
}

// privateDir makes dir for this user alone and refuses one that others may
// write: they could plant native code.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory %s: %w; choose one this user may write", dir, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("directory %s is writable by others (mode %v): whoever writes the compile cache runs native code as the worker; chmod it to 0700", dir, info.Mode().Perm())
	}
	return nil
}

func writeAtomic(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}
