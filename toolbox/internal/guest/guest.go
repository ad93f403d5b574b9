// Package guest runs the toolbox's modules under wazero for its tests, as bare as
// can be: a directory, arguments, standard input, and no limit but one of memory. What a fleet
// adds to that is tested where the fleet is.
package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// memoryPages bounds a guest's memory to 256 MiB: a test that fills it should not
// fill the machine's.
const memoryPages = 4096

// Runner compiles each module once and runs it as often as asked. It may be used
// by several goroutines.
type Runner struct {
	dist    string
	cache   wazero.CompilationCache
	runtime wazero.Runtime

	mu      sync.Mutex
	modules map[string]func() (wazero.CompiledModule, error)
}

// NewRunner makes a Runner of the modules in dist. What it compiles is kept on
// disk below dist for the next one.
func NewRunner(ctx context.Context, dist string) (*Runner, error) {
	cache, err := wazero.NewCompilationCacheWithDir(filepath.Join(dist, ".compiled"))
	if err != nil {
		return nil, fmt.Errorf("open the cache of compiled modules: %w", err)
	}

	config := wazero.NewRuntimeConfigCompiler().WithMemoryLimitPages(memoryPages).WithCompilationCache(cache).WithDebugInfoEnabled(false)
	r := &Runner{
		dist: dist, cache: cache,
		runtime: wazero.NewRuntimeWithConfig(ctx, config),
		modules: make(map[string]func() (wazero.CompiledModule, error)),
	}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r.runtime); err != nil {
		return nil, errors.Join(fmt.Errorf("instantiate WASI: %w", err), r.Close(ctx))
	}
	return r, nil
}

// Close frees all modules.
func (r *Runner) Close(ctx context.Context) error {
	return errors.Join(r.runtime.Close(ctx), r.cache.Close(ctx))
}

// Command is one run of a tool.
type Command struct {
	Tool  string
	Args  []string
	Env   [][2]string
	Stdin io.Reader // nil: empty
	Dir   string    // mounted at "/"; empty: no file system
}

// Outcome is how a run ended.
type Outcome struct {
	Code           uint32
	Stdout, Stderr string
}

// Run runs a tool to its end. A guest that exits with a code is no error; one
// that traps, or is stopped with ctx, is.
func (r *Runner) Run(ctx context.Context, c Command) (Outcome, error) {
	module, err := r.compiled(ctx, c.Tool)
	if err != nil {
		return Outcome{}, err
	}
	var stdout, stderr bytes.Buffer
	config := wazero.NewModuleConfig().WithName("").
		WithArgs(append([]string{c.Tool}, c.Args...)...).
		WithStdout(&stdout).WithStderr(&stderr).
		WithSysWalltime().WithSysNanotime().WithSysNanosleep()
	for _, pair := range c.Env {
		config = config.WithEnv(pair[0], pair[1])
	}
	if c.Stdin != nil {
		config = config.WithStdin(c.Stdin)
	}
	if c.Dir != "" {
		config = config.WithFSConfig(wazero.NewFSConfig().WithDirMount(c.Dir, "/"))
	}
	instance, err := r.runtime.InstantiateModule(ctx, module, config)
	if instance != nil {
		defer instance.Close(ctx)
	}
	outcome := Outcome{Stdout: stdout.String(), Stderr: stderr.String()}
	if exit, ok := errors.AsType[*sys.ExitError](err); ok {
		outcome.Code, err = exit.ExitCode(), nil
	}
	return outcome, err
}

func (r *Runner) compiled(ctx context.Context, tool string) (wazero.CompiledModule, error) {
	r.mu.Lock()
	compile, ok := r.modules[tool]
	if !ok {
		compile = sync.OnceValues(func() (wazero.CompiledModule, error) {
			binary, err := os.ReadFile(filepath.Join(r.dist, tool+".wasm"))
			if err != nil {
				return nil, fmt.Errorf("read the module: %w", err)
			}
			return r.runtime.CompileModule(ctx, binary)
		})
		r.modules[tool] = compile
	}
	r.mu.Unlock()
	return compile()
}
