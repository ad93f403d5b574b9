package dist

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// source is one tool before it is built. Exactly one of pkg, prebuilt and made
// is set.
type source struct {
	name     string
	pkg      string   // import path of a Go main package
	modfile  []string // flags of the go command: the go.mod to build with, when it is another
	prebuilt string   // path of a .wasm file that is only copied
	made     func(ctx context.Context, out string) error
	key      string // digest of everything that goes into the module
	err      error  // the go command could not load the package
}

// discover finds every tool of the module at dir, adds those the caller makes,
// and computes their keys.
func discover(ctx context.Context, dir string, made []Made) ([]source, error) {
	sources, err := goSources(ctx, dir)
	if err != nil {
		return nil, err
	}
	prebuilt, err := filepath.Glob(filepath.Join(dir, "wat", "*.wasm"))
	if err != nil {
		return nil, fmt.Errorf("look for prebuilt modules: %w", err)
	}
	for _, path := range prebuilt {
		name := strings.TrimSuffix(filepath.Base(path), ".wasm")
		if slices.ContainsFunc(sources, func(s source) bool { return s.name == name }) {
			return nil, fmt.Errorf("tool %q is both cmd/%s and wat/%s.wasm: rename one", name, name, name)
		}
		digest, _, err := digestFile(path)
		if err != nil {
			return nil, err
		}
		sources = append(sources, source{name: name, prebuilt: path, key: digest})
	}
	for _, m := range made {
		if slices.ContainsFunc(sources, func(s source) bool { return s.name == m.Name }) {
			return nil, fmt.Errorf("tool %q is there twice: rename one", m.Name)
		}
		sources = append(sources, source{name: m.Name, made: m.Make, key: m.Key})
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("no tools under %s: want cmd/NAME or wat/NAME.wasm", dir)
	}
	return sources, nil
}

// listedPackage is the part of `go list -json` that decides a module's bytes.
type listedPackage struct {
	ImportPath string
	Dir        string
	Name       string
	Standard   bool
	Module     *struct {
		Path, Version string
		Main          bool
		Replace       *struct{ Path, Version string }
	}
	GoFiles, SFiles, EmbedFiles []string
	Deps                        []string
	DepsErrors                  []*listedError
	Error                       *listedError
}

// listedError is why the go command could not load a package.
type listedError struct {
	Pos string // file:line:column, when it is in a file
	Err string
}

func (e *listedError) Error() string {
	if e.Pos == "" {
		return e.Err
	}
	return e.Pos + ": " + e.Err
}

func goSources(ctx context.Context, dir string) ([]source, error) {
	version, err := goTool(ctx, dir, "env", "GOVERSION")
	if err != nil {
		return nil, fmt.Errorf("ask the go command for its version: %w", err)
	}
	modfile, err := preparePatches(ctx, dir)
	if err != nil {
		return nil, err
	}
	args := append([]string{"list"}, modfile...)
	args = append(args, "-e", "-deps",
		"-json=ImportPath,Dir,Name,Standard,Module,GoFiles,SFiles,EmbedFiles,Deps,DepsErrors,Error", "./cmd/...")
	listed, err := goTool(ctx, dir, args...)
	if err != nil {
		return nil, fmt.Errorf("list the tools: %w", err)
	}
	packages := make(map[string]*listedPackage)
	for dec := json.NewDecoder(bytes.NewReader(listed)); ; {
		var pkg listedPackage
		if err := dec.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read the list of tools: %w", err)
		}
		packages[pkg.ImportPath] = &pkg
	}

	var sources []source
	for _, pkg := range packages {
		if pkg.Module == nil || !pkg.Module.Main || pkg.Name != "main" && pkg.Error == nil {
			continue
		}
		src := source{name: filepath.Base(pkg.Dir), pkg: pkg.ImportPath, modfile: modfile}
		src.key, src.err = key(pkg, packages, strings.TrimSpace(string(version)))
		sources = append(sources, src)
	}
	sort.Slice(sources, func(i, j int) bool { return sources[i].name < sources[j].name })
	return sources, nil
}

// key digests what goes into main: the Go version, the flags, and each
// dependency by module version or, in the toolbox itself, by content.
func key(main *listedPackage, packages map[string]*listedPackage, goVersion string) (string, error) {
	if main.Error != nil {
		return "", main.Error
	}
	if len(main.DepsErrors) > 0 {
		return "", main.DepsErrors[0]
	}
	h := sha256.New()
	fmt.Fprintln(h, goVersion, buildFlags)
	for _, path := range append(slices.Clone(main.Deps), main.ImportPath) {
		pkg := packages[path]
		switch {
		case pkg == nil || pkg.Standard: // decided by the Go version
		case pkg.Module != nil && !pkg.Module.Main && pkg.Module.Replace == nil:
			fmt.Fprintln(h, pkg.ImportPath, pkg.Module.Path, pkg.Module.Version)
		default:
			if err := hashFiles(h, pkg); err != nil {
				return "", err
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashFiles(h hash.Hash, pkg *listedPackage) error {
	for _, name := range slices.Concat(pkg.GoFiles, pkg.SFiles, pkg.EmbedFiles) {
		data, err := os.ReadFile(filepath.Join(pkg.Dir, name))
		if err != nil {
			return fmt.Errorf("read a source file: %w", err)
		}
		fmt.Fprintf(h, "%s/%s %d\n", pkg.ImportPath, name, len(data))
		h.Write(data)
	}
	return nil
}

// choose keeps the named sources; no names means all.
func choose(sources []source, names []string) ([]source, error) {
	if len(names) == 0 {
		return sources, nil
	}
	var chosen []source
	for _, name := range names {
		i := slices.IndexFunc(sources, func(s source) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no tool named %q: want one of %s", name, strings.Join(namesOf(sources), ", "))
		}
		chosen = append(chosen, sources[i])
	}
	return chosen, nil
}

func namesOf(sources []source) []string {
	var names []string
	for _, src := range sources {
		names = append(names, src.name)
	}
	sort.Strings(names)
	return names
}
