package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"boxfleet/executor"
)

// TestSettingsDocumented: docs/configuration.md is the output of `worker
// settings`.
func TestSettingsDocumented(t *testing.T) {
	var out bytes.Buffer
	if code := run(context.Background(), []string{"settings"}, strings.NewReader(""), &out, &out); code != 0 {
		t.Fatalf("exit code %d: %s", code, &out)
	}
	doc, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(doc) {
		t.Error("docs/configuration.md is not what `worker settings` prints; run `make docs`")
	}
	for _, row := range settingRows {
		if row.doc == "" || row.group == "" {
			t.Errorf("setting %s is not described", row.name)
		}
		if row.def != "" {
			if err := row.set(&settings{}, row.def); err != nil {
				t.Errorf("the default of %s is refused: %v", row.name, err)
			}
		}
	}
}

// TestBadSettings: a value that cannot be names its setting and where it came
// from, whichever way it came.
func TestBadSettings(t *testing.T) {
	config := func(t *testing.T, text string) string {
		file := filepath.Join(t.TempDir(), "worker.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	addresses := []string{"run", "--nats", "nats://127.0.0.1:1", "--nats-wait", "0s", "--s3-endpoint", "http://127.0.0.1:1", "--s3-access-key", "a", "--s3-secret-key", "b"}
	for _, c := range []struct {
		name   string
		config string
		env    map[string]string
		args   []string
		says   []string
	}{
		{"unknown in the file", "slotz: 3\n", nil, nil, []string{"slotz", "worker.yaml", "no setting"}},
		{"unknown flag", "", nil, []string{"--slotz", "3"}, []string{"slotz"}},
		{"number", "", nil, []string{"--slots", "many"}, []string{"--slots", `"many"`}},
		{"number in the environment", "", map[string]string{"BOXFLEET_SLOTS": "-1"}, nil, []string{"BOXFLEET_SLOTS", `"-1"`}},
		{"size in the file", "cache_size: 10 parsecs\n", nil, nil, []string{"worker.yaml", "cache-size", "10 parsecs"}},
		{"time", "", nil, []string{"--grace", "soon"}, []string{"--grace", "soon"}},
		{"yes or no", "", nil, []string{"--allow-private-networks=perhaps"}, []string{"--allow-private-networks", "perhaps"}},
		{"hardening", "", nil, []string{"--hardening", "harder"}, []string{"--hardening", "harder", "require"}},
		{"access", "", nil, []string{"--access", "everything"}, []string{"access", "everything"}},
		{"level", "", nil, []string{"--max-level", "root"}, []string{"--max-level", "root", "read_only"}},
		{"forbidden as the highest level", "", nil, []string{"--max-level", "forbidden"}, []string{"max level", "forbidden"}},
		{"level of a tenant", "", nil, []string{"--tenant-levels", "web=read_only,bots=all"}, []string{"tenant bots", `"all"`, "search-only"}},
		{"tenant twice", "", nil, []string{"--tenant-levels", "web=read_only,web=write"}, []string{"web is named twice"}},
		{"tenant without a level", "", nil, []string{"--tenant-levels", "web"}, []string{"TENANT=LEVEL"}},
		{"signed by nobody", "", nil, []string{"--require-signed"}, []string{"require-signed", "trusted-keys"}},
		{"keys that are not there", "", nil, []string{"--trusted-keys", "/nonexistent/release.pub"}, []string{"trusted-keys", "/nonexistent/release.pub"}},
		{"log level", "", nil, []string{"--log-level", "loud"}, []string{"log-level", "loud"}},
		{"map in the file", "ceilings:\n  fuel: 1\n", nil, nil, []string{"ceilings"}},
		{"not YAML", "{{{", nil, nil, []string{"worker.yaml"}},
		{"several at once", "", nil, []string{"--slots", "x", "--grace", "y"}, []string{"--slots", "--grace"}},
		{"default over its ceiling", "", nil, []string{"--default-fuel", "100", "--ceiling-fuel", "10"}, []string{"wasm_fuel", "100", "10"}},
		{"replicas", "", nil, []string{"--replicas", "2"}, nil}, // needs the server: only that it does not start
	} {
		t.Run(c.name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			// In this process nothing must be hardened: the tests go on.
			args := append(append([]string{}, addresses...), "--scratch-dir", t.TempDir(), "--cache-dir", t.TempDir())
			if c.name != "hardening" {
				args = append(args, "--hardening", "off")
			}
			if c.config != "" {
				args = append(args, "--config", config(t, c.config))
			}
			var out bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if code := run(ctx, append(args, c.args...), strings.NewReader(""), &out, &out); code != exitUsage && code != exitFailed {
				t.Fatalf("exit code %d: %s", code, &out)
			}
			says(t, out.String(), c.says...)
		})
	}
}

// TestSettingsOrder: a flag wins over the environment, that over the file,
// that over the default.
func TestSettingsOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "worker.json")
	if err := os.WriteFile(file, []byte(`{"slots": 3, "max_attempts": 7, "compilers": 2, "access": ["r:a-bucket/x/", "w:a-bucket/y/"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BOXFLEET_CONFIG", file)
	t.Setenv("BOXFLEET_SLOTS", "4")
	t.Setenv("BOXFLEET_MAX_ATTEMPTS", "8")
	cmd := runCommand(&bytes.Buffer{})
	if err := cmd.ParseFlags([]string{"--slots", "5"}); err != nil {
		t.Fatal(err)
	}
	s, err := loadSettings(cmd.Flags())
	if err != nil {
		t.Fatal(err)
	}
	if s.slots != 5 || s.maxAttempts != 8 || s.compilers != 2 || s.s3Bucket != "boxfleet" || len(s.access) != 2 {
		t.Errorf("slots %d, attempts %d, compilers %d, bucket %q, access %q", s.slots, s.maxAttempts, s.compilers, s.s3Bucket, s.access)
	}
}

// TestSecretsFile: one that others can read keeps a worker from starting, and
// nothing of its contents is quoted.
func TestSecretsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets.yaml")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("token: hush\n", 0o600)
	if got, err := readSecrets(file); err != nil || got["token"] != "hush" {
		t.Errorf("%q, %v", got, err)
	}
	write("token: hush\n", 0o644)
	if _, err := readSecrets(file); err == nil || !strings.Contains(err.Error(), "0600") || strings.Contains(err.Error(), "hush") {
		t.Errorf("%v", err)
	}
	write("token: [hush, hush]\n", 0o600)
	if _, err := readSecrets(file); err == nil || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "hush") {
		t.Errorf("%v", err)
	}
	if _, err := readSecrets(file + ".none"); err == nil || !strings.Contains(err.Error(), "secrets-file") {
		t.Errorf("%v", err)
	}
}

// TestCodeKeyFile: a key that others can read keeps a worker from starting, and
// what workers share is closed to tenants whatever the rules say.
func TestCodeKeyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "code.key")
	if err := os.WriteFile(file, []byte(strings.Repeat("k", 64)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &settings{s3Bucket: "boxfleet", codeKeyFile: file, access: []string{"rw:boxfleet/"}}
	cfg, err := s.executorConfig(slog.New(slog.DiscardHandler))
	if err != nil || len(cfg.CodeKey) != 64 {
		t.Fatalf("%d bytes of key: %v", len(cfg.CodeKey), err)
	}
	if cfg.Access.Check("web", "boxfleet", executor.CodePrefix+"x", false) == nil || cfg.Access.Check("web", "boxfleet", executor.CodePrefix+"x", true) == nil {
		t.Error("a tenant may name shared code")
	}
	if err := cfg.Access.Check("web", "boxfleet", "other/x", true); err != nil {
		t.Errorf("%v", err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := s.executorConfig(slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "compile-cache-key-file") || !strings.Contains(err.Error(), "0600") {
		t.Errorf("%v", err)
	}
}

// TestMeter runs `worker meter` on guests.
func TestMeter(t *testing.T) {
	guest := func(name string) string { return filepath.Join("../../executor/testdata/guests", name+".wasm") }
	meter := func(args ...string) (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		code = run(t.Context(), append([]string{"meter"}, args...), strings.NewReader("typed"), &out, &errs)
		return code, out.String(), errs.String()
	}
	rewritten := filepath.Join(t.TempDir(), "out.wasm")
	code, out, _ := meter(guest("act"), "-o", rewritten)
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	says(t, out, "functions", "wasi_snapshot_preview1", "fuel checks", "%")
	if info, err := os.Stat(rewritten); err != nil || info.Size() < 1000 {
		t.Errorf("%v, %v", info, err)
	}
	if code, _, errs := meter(rewritten); code == 0 {
		t.Error("a rewritten module was rewritten again")
	} else {
		says(t, errs, "boxfleet:meter")
	}
	code, out, errs := meter(guest("act"), "--run", "--", "say", "hello", "stdin", "exit", "5")
	if code != 5 || out != "hello\ntyped" {
		t.Errorf("exit code %d, stdout %q", code, out)
	}
	says(t, errs, "exited after", "fuel")
	if code, _, errs := meter(guest("act"), "--run", "--fuel", "1000000", "--", "spin"); code != exitFailed {
		t.Errorf("exit code %d", code)
	} else {
		says(t, errs, "out_of_fuel", "1000000")
	}
	if code, _, errs := meter(guest("act"), "--run", "--timeout", "50ms", "--", "spin"); code != exitFailed {
		t.Errorf("exit code %d", code)
	} else {
		says(t, errs, "timed_out", "50ms")
	}
	component := func(name string) string { return filepath.Join("../../limits/component/testdata", name+".wasm") }
	if code, out, errs := meter(component("say-jco1.35.0"), "--run", "--", "hello"); code != 2 || !strings.Contains(out, "hello") {
		t.Errorf("a component: exit code %d, stdout %q, stderr %q", code, out, errs)
	} else {
		says(t, errs, "a component of", `"_start"`, "fuel checks")
	}
	if code, out, _ := meter(component("native-jco1.35.0")); code != 0 {
		t.Errorf("a component without preview 1: exit code %d", code)
	} else {
		says(t, out, "a component of", "fuel checks")
	}
	if code, _, errs := meter(component("native-jco1.35.0"), "--run"); code == 0 {
		t.Error("a component without preview 1 ran")
	} else {
		says(t, errs, "submit run")
	}
	_, out, _ = meter(guest("strangers"))
	says(t, out, `"fd_teleport"`, `"env"."puts"`)
	for _, args := range [][]string{{"no-such-file.wasm"}, {"settings_test.go"}, {}, {guest("act"), "loose"}, {guest("act"), "--run", "--timeout", "soon"}} {
		if code, _, errs := meter(args...); code == 0 || errs == "" {
			t.Errorf("%q: exit code %d, %q", args, code, errs)
		}
	}
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !cond() {
		select {
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
