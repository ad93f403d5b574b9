package dist

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// patchedModules are the foreign modules of which _patches/MODULE/ holds files
// that take the place of the module's own, for the guests only.
//
// A patched copy of the module is made below dist, and the tools are built with
// a go.mod that also replaces the module by it. go build's overlay would be
// simpler, but refuses files of the module cache.
var patchedModules = []string{"mvdan.cc/sh/v3"}

// preparePatches makes the patched copies and returns the go command's flag for
// the go.mod that uses them; none for a module without patches.
func preparePatches(ctx context.Context, dir string) (flags []string, err error) {
	if _, err := os.Stat(filepath.Join(dir, "_patches")); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	base := filepath.Join(dir, "dist", ".patched")
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of patched modules: %w", err)
	}
	goMod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return nil, fmt.Errorf("read the toolbox's go.mod: %w", err)
	}
	goSum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		return nil, fmt.Errorf("read the toolbox's go.sum: %w", err)
	}
	text := string(goMod)
	for _, module := range patchedModules {
		if _, err := os.Stat(filepath.Join(dir, "_patches", filepath.FromSlash(module))); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		copied, err := patchedCopy(ctx, dir, base, module)
		if err != nil {
			return nil, fmt.Errorf("patch %s: %w", module, err)
		}
		// The path is relative to the toolbox and not absolute: the go command
		// writes it into the modules it builds.
		text += fmt.Sprintf("\nreplace %s => ./dist/.patched/%s\n", module, copied)
	}
	if err := writeIfChanged(filepath.Join(base, "go.mod"), []byte(text)); err != nil {
		return nil, err
	}
	if err := writeIfChanged(filepath.Join(base, "go.sum"), goSum); err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(filepath.Join(base, "go.mod"))
	if err != nil {
		return nil, fmt.Errorf("find the patched go.mod: %w", err)
	}
	return []string{"-modfile=" + abs}, nil
}

// patchedCopy returns the name, below base, of a copy of module with the patches
// in it. The name holds a digest of version and patches, so a copy once made is
// never changed.
func patchedCopy(ctx context.Context, dir, base, module string) (string, error) {
	out, err := goTool(ctx, dir, "mod", "download", "-json", module)
	if err != nil {
		return "", err
	}
	var origin struct{ Dir, Version string }
	if err := json.Unmarshal(out, &origin); err != nil {
		return "", fmt.Errorf("read where the module is: %w", err)
	}
	patches, err := readPatches(filepath.Join(dir, "_patches", filepath.FromSlash(module)))
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, module, origin.Version)
	for _, p := range patches {
		fmt.Fprintf(h, "%s %d\n%s", p.name, len(p.content), p.content)
	}
	name := strings.ReplaceAll(module, "/", "-") + "-" + hex.EncodeToString(h.Sum(nil))[:12]
	if _, err := os.Stat(filepath.Join(base, name)); err == nil {
		return name, nil
	}
	tmp, err := os.MkdirTemp(base, ".new-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := copyModule(tmp, origin.Dir); err != nil {
		return "", err
	}
	for _, p := range patches {
		target := filepath.Join(tmp, p.name)
		if _, err := os.Stat(target); err != nil {
			return "", fmt.Errorf("version %s has no file %s to patch: %w", origin.Version, p.name, err)
		}
		if err := os.WriteFile(target, p.content, 0o644); err != nil {
			return "", err
		}
	}
	err = os.Rename(tmp, filepath.Join(base, name))
	if err != nil && !errors.Is(err, fs.ErrExist) { // another build made it
		return "", err
	}
	return name, nil
}

// patchFile is a file that replaces one of a module's.
type patchFile struct {
	name    string // below the module's root, in the system's form
	content []byte
}

func readPatches(root string) ([]patchFile, error) {
	var patches []patchFile
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(root, name)
		patches = append(patches, patchFile{below, content})
		return err
	})
	return patches, err
}

// copyModule copies what a build needs of a module: no tests, no test data.
func copyModule(to, from string) error {
	return filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == "testdata" {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, below), 0o755)
		}
		if strings.HasSuffix(name, "_test.go") || path.Ext(name) != ".go" && entry.Name() != "go.mod" && entry.Name() != "LICENSE" {
			return nil
		}
		return copyFile(filepath.Join(to, below), name)
	})
}

// writeIfChanged leaves a file alone that already is as it should be, so that
// the go command's own caches hold.
func writeIfChanged(name string, content []byte) error {
	if old, err := os.ReadFile(name); err == nil && string(old) == string(content) {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
