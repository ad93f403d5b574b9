package submitcli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"boxfleet/internal/argvmap"
	"boxfleet/internal/strictjson"
	"boxfleet/jobs"
	"boxfleet/limits/guestabi"
)

// toolFile is a tool's manifest file.
type toolFile struct {
	Name        string          `json:"name"`
	Version     string          `json:"version"`
	Description string          `json:"description"`
	Keywords    []string        `json:"keywords"`
	Level       string          `json:"permission_level"`
	InputSchema json.RawMessage `json:"input_schema"`
	// Wasm is the module's file, below --wasm-dir or beside the manifest.
	Wasm string `json:"wasm"`
	// Example shows a use; it is for people and tests, not for the fleet.
	Example json.RawMessage `json:"example"`
}

// levels are the permission levels, from the least.
var levels = []string{"none", "read_only", "write", "execute", "dangerous", "forbidden"}

type pushFlags struct {
	name, version, description, level, schema string
	keywords                                  []string
	manifest, all, wasmDir                    string
}

func (a *app) toolPushCommand() *cobra.Command {
	var f pushFlags
	cmd := &cobra.Command{
		Use:   "push FILE.wasm --name NAME --version VERSION",
		Short: "Register a tool, or all tools of a directory of manifests",
		Long: "push looks into the module, refuses what the fleet cannot run with every reason,\n" +
			"uploads it and registers it. A version never changes: the same module again is fine,\n" +
			"another one under the same version is refused.",
		Example: "  submit tool push hello.wasm --name hello --version 1.0.0\n" +
			"  submit tool push --manifest tools/jq.json --wasm-dir dist\n" +
			"  submit tool push --all toolbox/tools --wasm-dir toolbox/dist",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.toolPush(cmd.Context(), &f, args) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.name, "name", "", "name: lower-case letters, digits and -")
	fs.StringVar(&f.version, "version", "", "version, such as 1.0.0")
	fs.StringVar(&f.description, "description", "", "what it does, in a sentence")
	fs.StringArrayVar(&f.keywords, "keyword", nil, "word to find it by; repeatable")
	fs.StringVar(&f.level, "level", "", "permission level: "+strings.Join(levels, ", "))
	fs.StringVar(&f.schema, "input-schema", "", "JSON Schema of its JSON input: the text, or @FILE")
	fs.StringVar(&f.manifest, "manifest", "", "take all of that from a manifest FILE.json; other flags win")
	fs.StringVar(&f.all, "all", "", "push every manifest of a directory")
	fs.StringVar(&f.wasmDir, "wasm-dir", "", "where the modules of manifests are; beside the manifests when absent")
	return cmd
}

func (a *app) toolPush(ctx context.Context, f *pushFlags, args []string) error {
	if f.all != "" {
		if f.manifest != "" || len(args) > 0 || f.name != "" || f.version != "" {
			return usagef("--all takes names, versions and modules from the manifests; give --wasm-dir only")
		}
		return a.pushAll(ctx, f)
	}
	t, path, err := f.single(args)
	if err != nil {
		return err
	}
	return a.pushOne(ctx, t, path)
}

// single puts together one tool from its manifest, if any, and the flags.
func (f *pushFlags) single(args []string) (*toolFile, string, error) {
	t, path := &toolFile{}, ""
	if f.manifest != "" {
		var err error
		if t, path, err = readManifest(f.manifest, f.wasmDir); err != nil {
			return nil, "", err
		}
	}
	if len(args) == 1 {
		path = args[0]
	}
	if path == "" {
		return nil, "", usagef("which module? write: submit tool push FILE.wasm --name NAME --version VERSION, or give --manifest or --all")
	}
	for _, set := range []struct {
		to   *string
		from string
	}{{&t.Name, f.name}, {&t.Version, f.version}, {&t.Description, f.description}, {&t.Level, f.level}} {
		if set.from != "" {
			*set.to = set.from
		}
	}
	if len(f.keywords) > 0 {
		t.Keywords = f.keywords
	}
	if f.schema != "" {
		schema, err := readInput(f.schema)
		if err != nil {
			return nil, "", usagef("--input-schema: %w", err)
		}
		t.InputSchema = schema
	}
	if t.Name == "" {
		t.Name = strings.ToLower(strings.TrimSuffix(filepath.Base(path), ".wasm"))
	}
	if t.Version == "" {
		return nil, "", usagef("which version? give --version, such as --version 1.0.0")
	}
	return t, path, nil
}

// readManifest reads a manifest file and tells where its module is.
func readManifest(path, wasmDir string) (*toolFile, string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, "", usagef("manifest: %w", plainPathError(err))
	}
	var t toolFile
	if err := strictjson.Unmarshal(data, &t); err != nil {
		return nil, "", usagef("manifest %s: %w", path, err)
	}
	if t.Wasm == "" {
		return &t, "", nil
	}
	if filepath.IsAbs(t.Wasm) {
		return &t, t.Wasm, nil
	}
	if wasmDir == "" {
		wasmDir = filepath.Dir(path)
	}
	return &t, filepath.Join(wasmDir, filepath.FromSlash(t.Wasm)), nil
}

// pushAll pushes every manifest of a directory and goes on after one that
// fails.
func (a *app) pushAll(ctx context.Context, f *pushFlags) error {
	files, err := filepath.Glob(filepath.Join(f.all, "*.json"))
	if err != nil || len(files) == 0 {
		return usagef("--all: no manifests (*.json) in %s", f.all)
	}
	failed := 0
	for _, file := range files {
		t, path, err := readManifest(file, f.wasmDir)
		if err == nil && path == "" {
			err = usagef("manifest %s: wasm: missing: name the module's file", file)
		}
		if err == nil {
			err = a.pushOne(ctx, t, path)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			continue
		}
		code, lines := a.verdict(err)
		if code == exitFleet {
			return err
		}
		failed++
		for _, l := range lines {
			a.say("%s", l)
		}
	}
	if failed > 0 {
		return &exitError{exitUnfinished, fmt.Errorf("%d of %s not pushed", failed, count(len(files), "tool"))}
	}
	return nil
}

// pushOne checks, uploads and registers a tool.
func (a *app) pushOne(ctx context.Context, t *toolFile, path string) error {
	m, wasm, err := t.check(path)
	if err != nil {
		return err
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	store, err := a.store(ctx)
	if err != nil {
		return err
	}
	if m.Digest, err = store.PutBlob(ctx, bytes.NewReader(wasm), m.Size); err != nil {
		return fmt.Errorf("upload %s: %w", path, err)
	}
	created, err := client.Register(ctx, *m)
	if err != nil {
		return &exitError{registerCode(err), err}
	}
	if a.globals.json {
		return a.printLine(struct {
			*jobs.Manifest
			Created bool `json:"created"`
		}{m, created})
	}
	word := "pushed"
	if !created {
		word = "unchanged"
	}
	_, err = fmt.Fprintf(a.Stdout, "%s %s@%s %s (%s)\n", word, m.Name, m.Version, m.Digest.Short(), size(m.Size))
	return wroteOut(err)
}

// registerCode tells a version that is taken from a fleet that fails.
func registerCode(err error) int {
	if strings.Contains(err.Error(), "versions never change") {
		return exitUsage
	}
	return exitFleet
}

// check validates everything that needs no fleet.
func (t *toolFile) check(path string) (*jobs.Manifest, []byte, error) {
	var errs []error
	if !jobs.ValidToolName(t.Name) {
		errs = append(errs, fmt.Errorf("name %q: use 1 to 64 lower-case letters, digits and -, starting with a letter", t.Name))
	}
	if !jobs.ValidToolVersion(t.Version) {
		errs = append(errs, fmt.Errorf("version %q: use letters, digits, dots, - and _, such as 1.0.0", t.Version))
	}
	if t.Level != "" && !slices.Contains(levels, t.Level) {
		errs = append(errs, fmt.Errorf("permission level %q: use one of %s", t.Level, strings.Join(levels, ", ")))
	}
	if _, err := argvmap.New(t.InputSchema); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, refused(path, err)
	}
	wasm, err := readModule(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := inspectModule(wasm)
	if err != nil {
		return nil, nil, refused(path, err)
	}
	return &jobs.Manifest{
		Name: t.Name, Version: t.Version, Description: t.Description, Keywords: t.Keywords, Level: t.Level, InputSchema: t.InputSchema,
		Size: int64(len(wasm)), Kind: "wasip1-command", Imports: guestabi.Modules(info.Imports),
	}, wasm, nil
}

func readModule(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, usagef("%s is not there; build the module first", path)
	case err != nil:
		return nil, usage(plainPathError(err))
	case !info.Mode().IsRegular():
		return nil, usagef("%s is no regular file", path)
	case info.Size() > maxModule:
		return nil, usagef("%s has %s, at most %s are taken; strip it", path, size(info.Size()), size(maxModule))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usage(plainPathError(err))
	}
	return data, nil
}
