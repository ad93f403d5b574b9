package dist

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// stamp remembers what a module in dist was built from and what came out. One
// file per tool, so that two builds at once do not overwrite each other's.
type stamp struct {
	Key    string `json:"key"`    // source.key when it was built
	Sha256 string `json:"sha256"` // of the module
}

// shelf is the folder of modules and the stamps of one set of tools in it.
type shelf struct {
	dir string
	set string // Config.Set
}

func (s shelf) module(name string) string { return filepath.Join(s.dir, name+".wasm") }

func (s shelf) stampDir() string {
	if s.set == "" {
		return filepath.Join(s.dir, ".stamps")
	}
	return filepath.Join(s.dir, ".stamps-"+s.set)
}

func (s shelf) stampPath(name string) string { return filepath.Join(s.stampDir(), name+".json") }

// fresh reports whether the module is what src would give, and its size. The
// module itself is digested too: one that was cut short or replaced by hand is
// built again.
func (s shelf) fresh(src source) (int64, bool) {
	data, err := os.ReadFile(s.stampPath(src.name))
	if err != nil {
		return 0, false
	}
	var was stamp
	if json.Unmarshal(data, &was) != nil || was.Key != src.key {
		return 0, false
	}
	digest, size, err := digestFile(s.module(src.name))
	return size, err == nil && digest == was.Sha256
}

func (s shelf) writeStamp(src source, digest string) error {
	data, err := json.Marshal(stamp{Key: src.key, Sha256: digest})
	if err != nil {
		return fmt.Errorf("encode the stamp: %w", err)
	}
	if err := os.WriteFile(s.stampPath(src.name), data, 0o644); err != nil {
		return fmt.Errorf("write the stamp: %w", err)
	}
	return nil
}

// dropUnknown removes modules that an earlier build made and whose tool is gone,
// so that nobody pushes a module that has no source. Files without a stamp were
// put there by somebody else and stay.
func (s shelf) dropUnknown(sources []source) error {
	stamps, err := filepath.Glob(s.stampPath("*"))
	if err != nil {
		return fmt.Errorf("look for stamps: %w", err)
	}
	for _, path := range stamps {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		if slices.ContainsFunc(sources, func(src source) bool { return src.name == name }) {
			continue
		}
		for _, gone := range []string{s.module(name), path} {
			if err := os.Remove(gone); err != nil && !os.IsNotExist(err) {
				return fmt.Errorf("remove what is left of tool %s: %w", name, err)
			}
		}
	}
	return nil
}

func digestFile(path string) (digest string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, fmt.Errorf("digest a module: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, fmt.Errorf("digest a module: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}
