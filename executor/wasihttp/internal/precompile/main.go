// Command precompile compiles a wasm module into a wazero compilation cache. The tests above it run it as a process of
// its own, built without the race detector, under which compiling a Go program takes minutes.
//
//	precompile CACHE_DIR MODULE.wasm
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/tetratelabs/wazero"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "precompile:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("want a cache directory and a module, got %d arguments", len(args))
	}
	cache, err := wazero.NewCompilationCacheWithDir(args[0])
	if err != nil {
		return err
	}
	defer cache.Close(ctx)
	binary, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCompilationCache(cache))
	defer rt.Close(ctx)
	_, err = rt.CompileModule(ctx, binary)
	return err
}
