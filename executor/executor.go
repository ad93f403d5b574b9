package executor

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/sync/semaphore"

	"boxfleet/artifacts"
	"boxfleet/executor/meter"
	"boxfleet/executor/wasip1"
	"boxfleet/limits/metering"
)

// Executor runs attempts. One serves all slots of a worker.
type Executor struct {
	cfg     Config
	store   *artifacts.Store
	cache   *artifacts.Cache
	spaces  *artifacts.Workspaces
	rt      wazero.Runtime
	code    wazero.CompilationCache
	epoch   *meter.Epoch
	modules *moduleCache
	memory  *semaphore.Weighted
	proved  atomic.Bool // the store honours conditional PUTs

	registry atomic.Pointer[Registry] // nil: no module is registered
}

// New prepares an executor: directories, caches, the runtime and its host
// modules. Close it when no attempt runs any more.
func New(ctx context.Context, store *artifacts.Store, cfg Config) (_ *Executor, err error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &Executor{cfg: cfg, store: store, memory: semaphore.NewWeighted(int64(cfg.MemoryBudget))}
	defer func() {
		if err != nil {
			_ = e.Close(ctx)
		}
	}()
	for _, dir := range []string{cfg.CacheDir, cfg.ScratchDir} {
		if err := privateDir(dir); err != nil {
			return nil, err
		}
	}
	// The lock of the cache also keeps a second worker out of this directory.
	if e.cache, err = artifacts.OpenCache(filepath.Join(cfg.CacheDir, "content"), cfg.CacheBytes); err != nil {
		return nil, err
	}
	if e.spaces, err = artifacts.OpenWorkspaces(cfg.ScratchDir); err != nil {
		return nil, err
	}
	rewrite := metering.Config{MaxModuleBytes: uint64(cfg.MaxModuleBytes), Images: true}
	compileDir := filepath.Join(cfg.CacheDir, "compiled")
	if err := privateDir(compileDir); err != nil {
		return nil, err
	}
	engine, err := engineKey(ctx, compileDir)
	if err != nil {
		return nil, err
	}
	thisConfig := filepath.Join(compileDir, cacheSubdir(codeKey(rewrite, engine)))
	wasmDir, nativeDir := filepath.Join(thisConfig, "wasm"), filepath.Join(thisConfig, "native")
	for _, dir := range []string{wasmDir, nativeDir} {
		if err := privateDir(dir); err != nil {
			return nil, err
		}
	}
	if err := sweepScratch(nativeDir); err != nil {
		return nil, err
	}
	if e.code, err = wazero.NewCompilationCacheWithDir(nativeDir); err != nil {
		return nil, fmt.Errorf("open the compile cache %s: %w", nativeDir, err)
	}
	if e.rt, err = newRuntime(ctx, meter.RuntimeConfig().WithCompilationCache(e.code)); err != nil {
		return nil, err
	}
	compiles, err := otel.Meter("boxfleet/executor").Int64Counter("boxfleet.compiles",
		metric.WithDescription("modules compiled, because no cache had them"), metric.WithUnit("{module}"))
	if err != nil {
		return nil, fmt.Errorf("set up metrics: %w", err)
	}
	e.epoch = meter.NewEpoch(cfg.Tick)
	sharingCtx, stopSharing := context.WithCancel(context.WithoutCancel(ctx))
	e.modules = &moduleCache{
		native: &nativeStore{rt: e.rt, dir: nativeDir}, rewrite: rewrite, dir: compileDir, wasmDir: wasmDir, compiles: compiles, log: cfg.Log,
		fresh: func(ctx context.Context) (wazero.Runtime, error) {
			return newRuntime(ctx, meter.RuntimeConfig())
		},
		maxBytes: cfg.ModuleCacheBytes, maxDisk: cfg.CompileCacheBytes, queue: newCompileQueue(cfg.Compilers),
		byID: map[artifacts.Digest]*module{}, lru: list.New(), pending: map[artifacts.Digest]*compiling{},
		sharingCtx: sharingCtx, stopSharing: stopSharing,
	}
	if len(cfg.CodeKey) > 0 {
		e.modules.share = &codeShare{store: store, key: cfg.CodeKey, code: codeKey(rewrite, engine)}
	}
	return e, nil
}

// newRuntime makes a runtime with all host modules a guest may import.
func newRuntime(ctx context.Context, cfg wazero.RuntimeConfig) (wazero.Runtime, error) {
	rt := wazero.NewRuntimeWithConfig(ctx, cfg)
	err := meter.Register(ctx, rt)
	if err == nil {
		err = wasip1.Register(ctx, rt)
	}
	if err != nil {
		_ = rt.Close(ctx)
		return nil, fmt.Errorf("set up the wasm runtime: %w", err)
	}
	return rt, nil
}

// Probe tells whether what every job needs is well: the store answers and the
// scratch disk has room.
func (e *Executor) Probe(ctx context.Context) error {
	if err := e.store.Ping(ctx); err != nil {
		return err
	}
	return e.checkSpace()
}

// CheckStore makes the bucket and proves once that the store honours the
// condition on which commits rest. A store that does not is
// artifacts.ErrInvalid: with it, two attempts could both commit.
func (e *Executor) CheckStore(ctx context.Context) error {
	if e.proved.Load() {
		return nil
	}
	err := e.store.EnsureBucket(ctx)
	if err == nil {
		err = e.store.CheckConditionalPut(ctx)
	}
	if err == nil {
		e.proved.Store(true)
	}
	return err
}

// Close frees everything. No attempt may be running.
func (e *Executor) Close(ctx context.Context) error {
	var errs []error
	if e.modules != nil {
		e.modules.close()
	}
	if e.rt != nil {
		errs = append(errs, e.rt.Close(ctx))
	}
	if e.code != nil {
		errs = append(errs, e.code.Close(ctx))
	}
	if e.epoch != nil {
		e.epoch.Close()
	}
	if e.cache != nil {
		errs = append(errs, e.cache.Close())
	}
	if e.spaces != nil {
		errs = append(errs, e.spaces.Close())
	}
	return errors.Join(errs...)
}

// cleanupTimeout bounds work that must go on after an attempt was stopped.
const cleanupTimeout = 30 * time.Second
