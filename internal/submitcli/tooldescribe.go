package submitcli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"boxfleet/internal/describe"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// describeFlags are those of `tool push --describe`.
type describeFlags struct {
	on, yes bool
	write   string
}

func (f *describeFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.on, "describe", false, "run the tool's --help on the fleet and make a manifest of it; print it for review, push nothing")
	fs.StringVar(&f.write, "write", "", "with --describe: write the manifest to FILE.json instead of printing it")
	fs.BoolVar(&f.yes, "yes", false, "with --describe: push it as it is")
}

func (f *describeFlags) check(p *pushFlags) error {
	switch {
	case !f.on && (f.yes || f.write != ""):
		return usagef("--yes and --write belong to --describe")
	case f.on && p.all != "":
		return usagef("--describe takes one module: what it finds is to be reviewed")
	}
	return nil
}

// What a tool gets to print its help with: no files, no network, and little of
// everything else. Nobody has vouched for it yet.
var helpOptions = limits.RunOption{
	WasmTimeout: limits.Duration(10 * time.Second), WasmFuel: 5e9, WasmMaxMemorySize: 256 * limits.MiB,
	MaxStdout: describe.MaxText, MaxStderr: describe.MaxText,
}

// describeWait bounds the wait for a help text: a large module is compiled
// first, and a fleet may have no worker.
const describeWait = 5 * time.Minute

// describeAndPush makes a manifest of what the tool says of itself. What was
// written by hand, in a manifest or by flags, wins. Without --yes nothing is
// registered: a tool's own word, its level above all, is for a person to judge.
func (a *app) describeAndPush(ctx context.Context, f *pushFlags, t *toolFile, path string) error {
	module, err := a.readTool(path, f.keepDebug)
	if err != nil {
		return err
	}
	help, err := a.helpOf(ctx, path, module)
	if err != nil {
		return err
	}
	found := describe.Parse(help)
	t.fill(found)
	if t.Name == "" {
		t.Name = strings.ToLower(strings.TrimSuffix(filepath.Base(path), ".wasm"))
	}
	if len(found.Left) > 0 {
		a.remark("left out, because they have no long name: %s", strings.Join(found.Left, " "))
	}
	if t.Level == "" {
		a.remark("it names no permission level; add one of %s, or workers take it for %s", levels(), "execute")
	} else if found.Level != "" && t.Level == string(found.Level) {
		a.remark("its level, %s, is the tool's own word: make sure that it is true", t.Level)
	}
	if f.describe.yes {
		if t.Version == "" {
			return usagef("%s: its help names no version; give --version", path)
		}
		if err := t.check(path); err != nil {
			return err
		}
		if f.describe.write != "" {
			if err := a.writeManifest(f.describe.write, t, path); err != nil {
				return err
			}
		}
		return a.register(ctx, f, t, path, module)
	}
	if f.describe.write != "" {
		if err := a.writeManifest(f.describe.write, t, path); err != nil {
			return err
		}
		a.remark("review %s, then: submit tool push --manifest %s", f.describe.write, f.describe.write)
		return nil
	}
	text, err := t.text(path)
	if err != nil {
		return err
	}
	if _, err := a.Stdout.Write(text); err != nil {
		return wroteOut(err)
	}
	a.remark("nothing was pushed; review this, then push it with --yes, or keep it with --write FILE.json")
	return nil
}

// fill takes what nobody wrote by hand from the tool's own description.
func (t *toolFile) fill(d *describe.Tool) {
	for _, set := range []struct {
		to   *string
		from string
	}{{&t.Name, d.Name}, {&t.Version, d.Version}, {&t.Description, d.Description}, {&t.Level, string(d.Level)}} {
		if *set.to == "" {
			*set.to = set.from
		}
	}
	if len(t.Keywords) == 0 {
		t.Keywords = d.Keywords
	}
	if len(t.InputSchema) == 0 && (len(d.Options) > 0 || len(d.Operands) > 0 || len(d.Commands) > 0) {
		t.InputSchema = d.Schema()
	}
	if !jobs.ValidToolVersion(t.Version) {
		t.Version = ""
	}
}

// text is the manifest as a file for people.
func (t *toolFile) text(wasm string) ([]byte, error) {
	out := struct {
		Name        string          `json:"name"`
		Version     string          `json:"version,omitempty"`
		Description string          `json:"description,omitempty"`
		Keywords    []string        `json:"keywords,omitempty"`
		Level       string          `json:"permission_level,omitempty"`
		InputSchema json.RawMessage `json:"input_schema,omitempty"`
		Wasm        string          `json:"wasm"`
		Example     json.RawMessage `json:"example,omitempty"`
	}{t.Name, t.Version, t.Description, t.Keywords, t.Level, t.InputSchema, wasm, t.Example}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(out)
	return b.Bytes(), err
}

// writeManifest writes a new manifest file, which names its module as it is
// found from there.
func (a *app) writeManifest(file string, t *toolFile, wasm string) error {
	from, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return usage(err)
	}
	to, err := filepath.Abs(wasm)
	if err != nil {
		return usage(err)
	}
	if rel, err := filepath.Rel(from, to); err == nil {
		to = filepath.ToSlash(rel)
	}
	text, err := t.text(to)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return usagef("--write %s: it is there already, and what was written by hand is not written over", file)
	}
	if err != nil {
		return usagef("--write: %w", plainPathError(err))
	}
	_, err = out.Write(text)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// helpOf runs the module with --help, and with -h if that says nothing, as jobs
// like any other. Many programs print their help on standard error, or exit
// with a code: what counts is the text.
func (a *app) helpOf(ctx context.Context, path string, module *toolModule) (string, error) {
	client, err := a.client(ctx)
	if err != nil {
		return "", err
	}
	store, err := a.store(ctx)
	if err != nil {
		return "", err
	}
	digest, err := store.PutBlob(ctx, bytes.NewReader(module.wasm), int64(len(module.wasm)))
	if err != nil {
		return "", fmt.Errorf("upload %s: %w", path, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, describeWait, &exitError{exitFleet, fmt.Errorf("%s: its --help has not ended within %s; is a worker running? see: submit status", path, describeWait)})
	defer cancel()
	for _, flag := range []string{"--help", "-h"} {
		r, err := a.runHelp(ctx, client, &jobs.Job{
			Tool: jobs.Tool{Digest: digest, Size: int64(len(module.wasm))}, Args: []string{flag}, Options: helpOptions,
			Labels: map[string]string{"boxfleet": "describe"},
		})
		if err != nil {
			return "", err
		}
		switch r.Outcome {
		case jobs.Invalid, jobs.Denied, jobs.Failed, jobs.Canceled: // it did not run
			return "", &exitError{runCode(r), fmt.Errorf("%s: its --help could not be run: job %s: %s", path, ending(r.Outcome), plain(r.Error))}
		}
		for _, text := range []jobs.Text{r.Stdout, r.Stderr} {
			if len(bytes.TrimSpace(text)) > 0 && (r.Outcome == jobs.Succeeded || r.Outcome == jobs.Exited || r.Outcome == jobs.OutputLimit) {
				return string(text), nil
			}
		}
	}
	return "", usagef("%s: it prints nothing for --help or -h; write a manifest by hand", path)
}

// runHelp runs one job to its end.
func (a *app) runHelp(ctx context.Context, client *jobs.Client, j *jobs.Job) (*jobs.Result, error) {
	j.ID = jobs.NewID()
	waiter, err := client.NewWaiter("", j.ID)
	if err != nil {
		return nil, err
	}
	defer waiter.Close()
	waiter.Expect(j.ID)
	if _, err := client.Submit(ctx, j); err != nil {
		return nil, err
	}
	rec, err := waiter.Next(ctx)
	if err != nil {
		a.cancelOne(context.WithoutCancel(ctx), client, j.ID) // nobody waits for it any more
		return nil, err
	}
	if err := a.completeOutput(ctx, rec.Result); err != nil {
		return nil, err
	}
	return rec.Result, nil
}
