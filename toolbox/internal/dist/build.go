package dist

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"
)

// maxJobs bounds how many links run at once: each takes about a core and
// 300 MB for the larger tools.
const maxJobs = 2

// buildFlags are part of every Go tool's key. Symbols and DWARF are dropped:
// they are half of a Go module's size and the fleet reads neither.
var buildFlags = []string{"-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags=-s -w"}

// Config says what to build and where.
type Config struct {
	Dir  string   // the module's root, where its go.mod is
	Only []string // names to build; empty means all
	Jobs int      // links at once, 1 to 2; 0 means 2

	// Out is where the modules go; empty means Dir/dist.
	Out string
	// Set tells the tools of this module from those of another one with the
	// same Out: a build removes what is left of tools that are gone, but only
	// of its own set. Letters only; the toolbox itself has the empty name.
	Set string
	// Made are tools that come neither from Go nor from wat.
	Made []Made

	// Report is called once per tool, in the order they finish, never by two
	// goroutines at once. It may be nil.
	Report func(Result)
}

// Made is a tool whose module the caller makes.
type Made struct {
	Name string
	Key  string // changes whenever Make would give other bytes
	// Make writes the module to the file out, which exists and is empty.
	Make func(ctx context.Context, out string) error
}

// Result is what became of one tool.
type Result struct {
	Name  string
	Fresh bool  // nothing had changed; the file was left alone
	Size  int64 // bytes of dist/NAME.wasm
	Took  time.Duration
	Err   error // with the compiler's own words
}

// Build brings dist up to date. A tool that does not build does not keep the
// others from being built; its error is in its Result and in the returned one.
func Build(ctx context.Context, cfg Config) ([]Result, error) {
	if cfg.Jobs <= 0 || cfg.Jobs > maxJobs {
		cfg.Jobs = maxJobs
	}
	if cfg.Out == "" {
		cfg.Out = filepath.Join(cfg.Dir, "dist")
	}
	sources, err := discover(ctx, cfg.Dir, cfg.Made)
	if err != nil {
		return nil, err
	}
	to := shelf{dir: cfg.Out, set: cfg.Set}
	if err := to.dropUnknown(sources); err != nil {
		return nil, err
	}
	if sources, err = choose(sources, cfg.Only); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(to.stampDir(), 0o755); err != nil {
		return nil, fmt.Errorf("make the output folder: %w", err)
	}

	var (
		mu      sync.Mutex
		results []Result
		group   sync.WaitGroup
		queue   = make(chan source)
	)
	for range cfg.Jobs {
		group.Go(func() {
			for src := range queue {
				res := buildOne(ctx, cfg.Dir, to, src)
				mu.Lock()
				results = append(results, res)
				if cfg.Report != nil {
					cfg.Report(res)
				}
				mu.Unlock()
			}
		})
	}
	for _, src := range sources {
		queue <- src
	}
	close(queue)
	group.Wait()

	sort.Slice(results, func(i, j int) bool { return results[i].Name < results[j].Name })
	var failed []error
	for _, res := range results {
		if res.Err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", res.Name, res.Err))
		}
	}
	return results, errors.Join(failed...)
}

func buildOne(ctx context.Context, dir string, to shelf, src source) Result {
	start := time.Now()
	res := Result{Name: src.name, Err: src.err}
	if res.Err == nil {
		if size, ok := to.fresh(src); ok {
			res.Fresh, res.Size = true, size
		} else {
			res.Size, res.Err = produce(ctx, dir, to, src)
		}
	}
	res.Took = time.Since(start)
	return res
}

// produce makes the module under a name of its own, stamps it and renames it
// into place, so that two builds at once cannot mix.
func produce(ctx context.Context, dir string, to shelf, src source) (int64, error) {
	tmp, err := os.CreateTemp(to.dir, "."+src.name+"-*.wasm")
	if err != nil {
		return 0, fmt.Errorf("make a temporary file beside the modules: %w", err)
	}
	defer os.Remove(tmp.Name())
	if err := tmp.Close(); err != nil {
		return 0, fmt.Errorf("make a temporary file beside the modules: %w", err)
	}
	switch {
	case src.made != nil:
		err = src.made(ctx, tmp.Name())
	case src.prebuilt != "":
		err = copyFile(tmp.Name(), src.prebuilt)
	default:
		err = compile(ctx, dir, src, tmp.Name())
	}
	if err != nil {
		return 0, err
	}
	if err := os.Chmod(tmp.Name(), 0o644); err != nil {
		return 0, fmt.Errorf("set the module's mode: %w", err)
	}
	digest, size, err := digestFile(tmp.Name())
	if err != nil {
		return 0, err
	}
	if err := os.Rename(tmp.Name(), to.module(src.name)); err != nil {
		return 0, fmt.Errorf("put the module into place: %w", err)
	}
	return size, to.writeStamp(src, digest)
}

func compile(ctx context.Context, dir string, src source, out string) error {
	// The go command runs in dir; out may be relative to where the caller is.
	out, err := filepath.Abs(out)
	if err != nil {
		return fmt.Errorf("find the output folder: %w", err)
	}
	args := append([]string{"build", "-o", out}, src.modfile...)
	args = append(append(args, buildFlags...), src.pkg)
	if _, err := goTool(ctx, dir, args...); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	return nil
}

// goTool runs the go command for the guest's target and returns its standard
// output. The caller's GOFLAGS, workspace and cgo settings must not reach the
// modules' bytes, so they are set here.
func goTool(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOWASM=", "GOWORK=off", "GOFLAGS=")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, strings.TrimSpace(stderr.String()))
	}
	return stdout, nil
}

func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("read the file to copy: %w", err)
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		return fmt.Errorf("write the copy: %w", err)
	}
	return nil
}
