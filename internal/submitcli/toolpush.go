package submitcli

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"boxfleet/internal/argvmap"
	"boxfleet/internal/strictjson"
	"boxfleet/internal/toolkey"
	"boxfleet/jobs"
	"boxfleet/limits/permission"
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

type pushFlags struct {
	name, version, description, level, schema string
	keywords                                  []string
	manifest, all, wasmDir                    string
	sign                                      string
	keepDebug, noCompile                      bool
	describe                                  describeFlags
}

func (a *app) toolPushCommand() *cobra.Command {
	var f pushFlags
	cmd := &cobra.Command{
		Use:   "push FILE.wasm --name NAME --version VERSION",
		Short: "Register a tool, or all tools of a directory of manifests",
		Long: "push looks into the module, refuses what the fleet cannot run with every reason,\n" +
			"uploads it, registers it, and has a worker compile it in the background. A version\n" +
			"never changes: the same module again is fine, another one under the same version is\n" +
			"refused. --describe asks the tool itself, by its --help, for what the manifest does not say.",
		Example: "  submit tool push hello.wasm --name hello --version 1.0.0\n" +
			"  submit tool push --manifest tools/jq.json --wasm-dir dist\n" +
			"  submit tool push --all toolbox/tools --wasm-dir toolbox/dist\n" +
			"  submit tool push hello.wasm --describe --write hello.json",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.toolPush(cmd.Context(), &f, args) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.name, "name", "", "name: lower-case letters, digits and -")
	fs.StringVar(&f.version, "version", "", "version, such as 1.0.0")
	fs.StringVar(&f.description, "description", "", "what it does, in a sentence")
	fs.StringArrayVar(&f.keywords, "keyword", nil, "word to find it by; repeatable")
	fs.StringVar(&f.level, "level", "", "permission level: "+levels())
	fs.StringVar(&f.schema, "input-schema", "", "JSON Schema of its JSON input: the text, or @FILE")
	fs.StringVar(&f.manifest, "manifest", "", "take all of that from a manifest FILE.json; other flags win")
	fs.StringVar(&f.all, "all", "", "push every manifest of a directory")
	fs.StringVar(&f.sign, "sign", "", "sign what is pushed with the private key in FILE")
	f.describe.register(fs)
	fs.BoolVar(&f.keepDebug, "keep-debug", false, "push the module as it is, with its debug sections")
	fs.BoolVar(&f.noCompile, "no-compile", false, "do not have a worker compile it")
	fs.StringVar(&f.wasmDir, "wasm-dir", "", "where the modules of manifests are; beside the manifests when absent")
	return cmd
}

func (a *app) toolPush(ctx context.Context, f *pushFlags, args []string) error {
	if err := f.describe.check(f); err != nil {
		return err
	}
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
	if f.describe.on {
		return a.describeAndPush(ctx, f, t, path)
	}
	if err := t.named(path); err != nil {
		return err
	}
	return a.pushOne(ctx, f, t, path)
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
	return t, path, nil
}

// named gives a tool without a name its file's, and refuses one without a
// version.
func (t *toolFile) named(path string) error {
	if t.Name == "" {
		t.Name = strings.ToLower(strings.TrimSuffix(filepath.Base(path), ".wasm"))
	}
	if t.Version == "" {
		return usagef("which version? give --version, such as --version 1.0.0")
	}
	return nil
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
			err = a.pushOne(ctx, f, t, path)
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
func (a *app) pushOne(ctx context.Context, f *pushFlags, t *toolFile, path string) error {
	if err := t.check(path); err != nil {
		return err
	}
	module, err := a.readTool(path, f.keepDebug)
	if err != nil {
		return err
	}
	return a.register(ctx, f, t, path, module)
}

// register uploads and registers a module that was found good.
func (a *app) register(ctx context.Context, f *pushFlags, t *toolFile, path string, module *toolModule) error {
	m := t.manifest(module)
	var key ed25519.PrivateKey
	var err error
	if f.sign != "" {
		if key, err = toolkey.Private(f.sign); err != nil {
			return usagef("--sign: %w", plainPathError(err))
		}
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	store, err := a.store(ctx)
	if err != nil {
		return err
	}
	if m.Digest, err = store.PutBlob(ctx, bytes.NewReader(module.wasm), m.Size); err != nil {
		return fmt.Errorf("upload %s: %w", path, err)
	}
	if key != nil {
		m.Signatures = []jobs.Signature{m.Sign(key)}
	}
	created, err := client.Register(ctx, *m)
	if err != nil {
		return registryError(err)
	}
	if !created {
		a.compareRegistered(ctx, client, m, key)
	}
	compiling := ""
	if created && !f.noCompile {
		compiling = a.compileSoon(ctx, client, m)
	}
	if a.globals.json {
		return a.printLine(struct {
			*jobs.Manifest
			Created   bool   `json:"created"`
			Compiling string `json:"compile_job,omitempty"`
		}{m, created, compiling})
	}
	word := "pushed"
	if !created {
		word = "unchanged"
	}
	_, err = fmt.Fprintf(a.Stdout, "%s %s@%s %s (%s)\n", word, m.Name, m.Version, m.Digest.Short(), size(m.Size))
	return wroteOut(err)
}

// compareRegistered says where a version that was there already differs from
// what was pushed now: it did not change.
func (a *app) compareRegistered(ctx context.Context, client *jobs.Client, m *jobs.Manifest, key ed25519.PrivateKey) {
	old, err := client.Manifest(ctx, m.Name, m.Version)
	if err != nil || old.SameContent(m) {
		return
	}
	var other []string
	for _, f := range []struct {
		name     string
		new, old string
	}{
		{"level", m.Level, old.Level}, {"description", m.Description, old.Description},
		{"keywords", strings.Join(m.Keywords, ", "), strings.Join(old.Keywords, ", ")},
		{"input schema", compactJSON(m.InputSchema), compactJSON(old.InputSchema)},
	} {
		if f.new != "" && f.new != f.old {
			other = append(other, f.name)
		}
	}
	if len(other) > 0 {
		a.remark("%s@%s is registered with another %s, which stays; versions never change, push a new one", m.Name, m.Version, strings.Join(other, ", "))
	}
	if key != nil {
		a.remark("%s@%s is registered with another manifest and was not signed; look at it, then: submit tool sign %s@%s --key FILE", m.Name, m.Version, m.Name, m.Version)
	}
}

func compactJSON(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}

// compileSoon has a worker compile the module while nobody waits for it, so
// that the first who does finds it compiled. It is a job like others, behind
// all others; that it cannot be sent is no failure of the push.
func (a *app) compileSoon(ctx context.Context, client *jobs.Client, m *jobs.Manifest) (id string) {
	if m.PermissionLevel() == permission.Forbidden {
		return ""
	}
	j := &jobs.Job{
		ID: "compile-" + m.Digest.Hex()[:40], Priority: jobs.Low, Tool: m.Tool(), CompileOnly: true,
		Labels: map[string]string{"boxfleet": "compile"},
		// One after the other: who runs a tool now is not to wait for the
		// compilations of a whole directory of tools.
		Concurrency: &jobs.Concurrency{Key: "boxfleet compile", Limit: 1},
	}
	if _, err := client.Submit(ctx, j); err != nil {
		a.remark("%s@%s is registered; it could not be sent to be compiled, so its first run will be slow: %s", m.Name, m.Version, plain(err.Error()))
		return ""
	}
	return j.ID
}

// check validates what a manifest says.
func (t *toolFile) check(path string) error {
	var errs []error
	if !jobs.ValidToolName(t.Name) {
		errs = append(errs, fmt.Errorf("name %q: use 1 to 64 lower-case letters, digits and -, starting with a letter", t.Name))
	}
	if !jobs.ValidToolVersion(t.Version) {
		errs = append(errs, fmt.Errorf("version %q: use letters, digits, dots, - and _, such as 1.0.0", t.Version))
	}
	if t.Level != "" {
		if _, err := permission.ParseLevel(t.Level); err != nil {
			errs = append(errs, err)
		}
	}
	if _, err := argvmap.New(t.InputSchema); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return refused(path, err)
	}
	return nil
}

// toolModule is a module as it is pushed, and what is known of it.
type toolModule struct {
	*inspected
	wasm []byte
}

// readTool reads a module that the fleet can run, and takes its debug sections
// out.
func (a *app) readTool(path string, keepDebug bool) (*toolModule, error) {
	wasm, err := readModule(path)
	if err != nil {
		return nil, err
	}
	in, err := inspectCode(wasm)
	if err != nil {
		return nil, refused(path, err)
	}
	if !keepDebug {
		stripped, saved := stripDebug(wasm)
		if saved > 0 {
			a.remark("%s: left out %s of debug sections; --keep-debug pushes them", path, size(int64(saved)))
		}
		wasm = stripped
	}
	return &toolModule{in, wasm}, nil
}

func (t *toolFile) manifest(module *toolModule) *jobs.Manifest {
	return &jobs.Manifest{
		Name: t.Name, Version: t.Version, Description: t.Description, Keywords: t.Keywords, Level: t.Level, InputSchema: t.InputSchema,
		Size: int64(len(module.wasm)), Kind: module.kind, Imports: module.imports, WASI: module.wasi, MinMemory: module.core.MinMemory(),
	}
}

// levels lists the permission levels for people.
func levels() string {
	out := make([]string, len(permission.Levels))
	for i, l := range permission.Levels {
		out[i] = string(l)
	}
	return strings.Join(out, ", ")
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
