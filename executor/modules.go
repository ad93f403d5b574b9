package executor

import (
	"bytes"
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"go.opentelemetry.io/otel/metric"

	"boxfleet/artifacts"
	"boxfleet/executor/wasihttp"
	"boxfleet/limits/component"
	"boxfleet/limits/metering"
)

// module is a compiled module, shared by all its instances.
type module struct {
	compiled wazero.CompiledModule
	info     *metering.Info
	weight   int64
	starts   []string // the exports to call, the last of which runs the program
	network  bool     // it imports wasi:http or what belongs to it

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
	rt        wazero.Runtime // with the disk cache behind it
	fresh     func(ctx context.Context) (wazero.Runtime, error)
	rewrite   metering.Config
	dir       string // of everything compiled, for its size
	wasmDir   string // rewritten modules, by digest
	nativeDir string // wazero's compiled code
	compiles  metric.Int64Counter
	log       *slog.Logger
	maxBytes  int64 // in memory
	maxDisk   int64
	turns     chan struct{} // bounded compile queue

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
	waiters int  // callers that will hold m; guarded by moduleCache.mu
	counted bool // m.refs has the waiters; guarded likewise
	m       *module
	err     error
	disk    bool
}

// source gives a module's bytes when they are needed.
type source func(ctx context.Context) ([]byte, error)

// parking lets a job leave its slot while it waits for a compiler.
type parking interface {
	Park()
	Unpark(ctx context.Context) error
}

// get gives the compiled module of a digest and where it was found: "memory",
// "disk" or "none". The caller calls release when its instance is gone.
func (c *moduleCache) get(ctx context.Context, d artifacts.Digest, read source, park parking) (m *module, hit string, err error) {
	c.mu.Lock()
	if m := c.byID[d]; m != nil {
		m.refs++
		c.lru.MoveToFront(m.elem)
		c.mu.Unlock()
		return m, "memory", nil
	}
	p := c.pending[d]
	if p == nil {
		p = &compiling{done: make(chan struct{})}
		c.pending[d] = p
		go c.compile(context.WithoutCancel(ctx), d, read, p)
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
	if p.disk {
		return p.m, "disk", nil
	}
	return p.m, "none", nil
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
	if kept, err := readRewritten(path); err == nil {
		p.disk = true
		if p.m, p.err = c.load(ctx, c.rt, kept); p.err == nil {
			now := time.Now()
			_ = os.Chtimes(path, now, now) // for the sweep's least recently used
			return
		}
	}
	p.disk = false // a damaged cache costs a compilation, nothing else
	_ = os.Remove(path)
	c.turns <- struct{}{}
	defer func() { <-c.turns }()
	raw, err := read(ctx)
	if err != nil {
		p.err = err
		return
	}
	ready, err := c.rewritten(raw)
	if err != nil {
		p.err = err
		return
	}
	c.compiles.Add(ctx, 1)
	if p.m, p.err = c.load(ctx, c.rt, ready); p.err != nil {
		// Either nobody can compile it, or the code that is kept for it is damaged.
		if p.m, p.err = c.loadFresh(ctx, ready, p.err); p.err == nil {
			c.dropNative()
		}
		return
	}
	if err := writeRewritten(path, ready); err == nil {
		c.sweep()
	}
}

// dropNative removes all compiled code from the disk: one of its files is
// damaged, and only wazero knows which. What is in memory stays.
func (c *moduleCache) dropNative() {
	c.log.Warn("the compile cache holds damaged code; all of it is compiled again when it is next needed", "dir", c.nativeDir)
	entries, _ := os.ReadDir(c.nativeDir)
	for _, e := range entries {
		_ = os.RemoveAll(filepath.Join(c.nativeDir, e.Name()))
	}
}

// program is a metered module, ready to be compiled.
type program struct {
	initial
	wasm []byte
}

// initial is what must be known of a module before it is instantiated. It
// stands as one line of JSON before the rewritten module in the cache.
type initial struct {
	Memories []metering.Memory
	Tables   []metering.Table
	// Start is the export that runs the program, Initialize that _initialize is
	// called before it.
	Start      string
	Initialize bool
	// CRC is of the rewritten module (CRC-32C): a changed bit could otherwise
	// be a valid module with other limits. It guards against broken disks; who
	// can write the directory needs no such trick.
	CRC uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func writeRewritten(path string, p *program) error {
	head, err := json.Marshal(p.initial)
	if err != nil {
		return err
	}
	return writeAtomic(path, slices.Concat(head, []byte{'\n'}, p.wasm))
}

func readRewritten(path string) (*program, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	head, wasm, _ := bytes.Cut(data, []byte{'\n'})
	p := &program{wasm: wasm}
	if err := json.Unmarshal(head, &p.initial); err != nil {
		return nil, err
	}
	if sum := crc32.Checksum(wasm, castagnoli); sum != p.CRC {
		return nil, fmt.Errorf("%s is damaged: checksum %08x, want %08x", path, sum, p.CRC)
	}
	if p.Start == "" {
		return nil, fmt.Errorf("%s does not say how the program starts", path)
	}
	return p, nil
}

// rewritten meters a module, or the main module of a component, or says why it
// can never run.
func (c *moduleCache) rewritten(raw []byte) (*program, error) {
	main, err := component.Main(raw)
	if err != nil {
		return nil, &badModuleError{err}
	}
	m, err := metering.Rewrite(main.Wasm, c.rewrite)
	if err != nil {
		return nil, &badModuleError{err}
	}
	if err := checkModule(m.Info, main.Start); err != nil {
		return nil, &badModuleError{err}
	}
	return &program{initial{
		Memories: m.Info.Memories, Tables: m.Info.Tables,
		Start: main.Start, Initialize: main.Initialize, CRC: crc32.Checksum(m.Wasm, castagnoli),
	}, m.Wasm}, nil
}

// load compiles rewritten wasm in rt, from its disk cache when it has it.
func (c *moduleCache) load(ctx context.Context, rt wazero.Runtime, p *program) (*module, error) {
	compiled, err := rt.CompileModule(ctx, p.wasm)
	if err != nil {
		return nil, &badModuleError{fmt.Errorf("the module does not compile: %w", err)}
	}
	var starts []string
	if p.Initialize {
		starts = append(starts, "_initialize")
	}
	starts = append(starts, p.Start)
	for _, name := range starts {
		if err := checkStart(compiled, name); err != nil {
			return nil, errors.Join(&badModuleError{err}, compiled.Close(ctx))
		}
	}
	m := &module{
		compiled: compiled, weight: 3 * int64(len(p.wasm)), starts: starts,
		info: &metering.Info{Memories: p.Memories, Tables: p.Tables},
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
	return m, nil
}

// loadFresh compiles without the disk cache: when its files are damaged in a
// way wazero refuses, or when a job asked for it.
func (c *moduleCache) loadFresh(ctx context.Context, p *program, first error) (*module, error) {
	rt, err := c.fresh(ctx)
	if err != nil {
		return nil, errors.Join(first, err)
	}
	m, err := c.load(ctx, rt, p)
	if err != nil {
		_ = rt.Close(ctx)
		return nil, err
	}
	m.own = rt
	return m, nil
}

// uncached compiles a module for one job alone ("cache": false).
func (c *moduleCache) uncached(ctx context.Context, read source) (*module, error) {
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	raw, err := read(ctx)
	if err != nil {
		return nil, err
	}
	ready, err := c.rewritten(raw)
	if err != nil {
		return nil, err
	}
	c.compiles.Add(ctx, 1)
	m, err := c.loadFresh(ctx, ready, nil)
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
	if m.own != nil {
		_ = m.own.Close(ctx)
	}
}

// sweep bounds the compile cache on disk: the files not used for longest go.
func (c *moduleCache) sweep() {
	_ = trimDir(c.dir, c.maxDisk)
}

// cacheSubdir keeps compilations of different configurations apart.
func cacheSubdir(cfg metering.Config) string {
	sum := sha256.Sum256([]byte(cfg.Key()))
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
