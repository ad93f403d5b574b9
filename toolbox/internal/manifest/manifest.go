// Package manifest reads the toolbox's manifests, tools/NAME.json: what a tool is
// called, what it takes and how it is tried. They are written by hand and pushed
// to a fleet's registry as they are; the toolbox's tests hold them against what
// the tools themselves say.
package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Levels are the permission levels, from the least to the most.
var Levels = []string{"none", "read_only", "write", "execute", "dangerous"}

// Manifest describes one tool.
type Manifest struct {
	Name            string   `json:"name"`    // in the registry
	Version         string   `json:"version"` // semantic
	Description     string   `json:"description"`
	Keywords        []string `json:"keywords"`
	PermissionLevel string   `json:"permission_level"` // one of Levels

	// InputSchema is a JSON Schema (2020-12) of the tool's input as JSON. Member
	// some_name is the option --some-name; an array is the option repeated.
	InputSchema json.RawMessage `json:"input_schema"`

	Wasm    string  `json:"wasm"` // the module's file in dist
	Example Example `json:"example"`
}

// Example is a run that succeeds.
type Example struct {
	Args  []string `json:"args"` // without the program's name
	Stdin string   `json:"stdin,omitempty"`

	// Files are put into the guest's file system, which can be written to: guest
	// path to the path of a file or directory in the toolbox, both with slashes.
	Files map[string]string `json:"files,omitempty"`
}

// LoadAll reads every manifest of the toolbox at dir, by name.
func LoadAll(dir string) ([]*Manifest, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "tools", "*.json"))
	if err != nil {
		return nil, fmt.Errorf("look for manifests: %w", err)
	}
	var all []*Manifest
	for _, path := range paths {
		m, err := load(path)
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", filepath.Base(path), err)
		}
		all = append(all, m)
	}
	return all, nil
}

func load(path string) (*Manifest, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var m Manifest
	if err := dec.Decode(&m); err != nil {
		return nil, err
	}
	return &m, m.check(strings.TrimSuffix(filepath.Base(path), ".json"))
}

// check looks for what a registry would refuse. It leaves the schema to whoever
// has a validator.
func (m *Manifest) check(file string) error {
	switch {
	case m.Name != file:
		return fmt.Errorf("name is %q: want the file's, %q", m.Name, file)
	case m.Wasm != m.Name+".wasm":
		return fmt.Errorf("wasm is %q: want %q", m.Wasm, m.Name+".wasm")
	case strings.Count(m.Version, ".") != 2:
		return fmt.Errorf("version is %q: want a semantic version", m.Version)
	case m.Description == "" || len(m.Keywords) == 0:
		return fmt.Errorf("want a description and keywords")
	case !slices.Contains(Levels, m.PermissionLevel):
		return fmt.Errorf("permission_level is %q: want one of %s", m.PermissionLevel, strings.Join(Levels, ", "))
	case len(m.InputSchema) == 0:
		return fmt.Errorf("input_schema is missing")
	case m.Example.Args == nil:
		return fmt.Errorf("example.args is missing")
	}
	return nil
}
