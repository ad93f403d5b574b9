package limits

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestRunOptionForms(t *testing.T) {
	t.Parallel()
	var o RunOption
	err := json.Unmarshal([]byte(`{
		"work_dir": "s3://b/p/", "map_dirs": [{"source": "s3://b/q/", "guest": "/q", "mode": "rw", "output": "s3://b/o/"}],
		"env_vars": {"A": "1"}, "block_url": "https://a.example/x", "wasm_timeout": 1.5,
		"wasm_max_memory_size": "64MiB", "wasm_max_wasm_stack": 65536, "wasm_fuel": 18446744073709551615, "cache": false}`), &o)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	mounts := o.Mounts()
	if len(mounts) != 2 || mounts[0].Guest != "/" || mounts[0].Mode != ReadOnly || mounts[1].Mode != ReadWrite {
		t.Errorf("mounts = %+v; want the work directory at / and read-only, then /q", mounts)
	}
	if o.WasmFuel != 18446744073709551615 || o.WasmMaxMemorySize != 64*MiB || len(o.BlockURL) != 1 || o.CacheAllowed() {
		t.Errorf("option = %+v", o)
	}
}

func TestRunOptionRefuses(t *testing.T) {
	t.Parallel()
	many := make([]string, MaxPolicyItems+1)
	for _, tc := range []struct {
		name   string
		option RunOption
		field  string
		text   string
	}{
		{"a job's cache directory", RunOption{WasmCacheDir: "/tmp/x"}, "wasm_cache_dir", "native code"},
		{"relative guest path", RunOption{MapDirs: []Mount{{Source: "s3://b/p/", Guest: "data"}}}, "map_dirs[0].guest", "not absolute"},
		{"unclean guest path", RunOption{MapDirs: []Mount{{Source: "s3://b/p/", Guest: "/a/../b"}}}, "map_dirs[0].guest", "/b"},
		{"control characters", RunOption{MapDirs: []Mount{{Source: "s3://b/p/", Guest: "/a\x01"}}}, "map_dirs[0].guest", "control"},
		{"no guest path", RunOption{MapDirs: []Mount{{Source: "s3://b/p/"}}}, "map_dirs[0].guest", "missing"},
		{"mounted twice", RunOption{MapDirs: []Mount{{Source: "s3://b/p/", Guest: "/a"}, {Source: "s3://b/q/", Guest: "/a"}}}, "map_dirs[1].guest", "already"},
		{"root twice", RunOption{WorkDir: &Mount{Source: "s3://b/p/"}, MapDirs: []Mount{{Source: "s3://b/q/", Guest: "/"}}}, "map_dirs[0].guest", "work_dir"},
		{"work_dir elsewhere", RunOption{WorkDir: &Mount{Source: "s3://b/p/", Guest: "/w"}}, "work_dir.guest", "map_dirs"},
		{"unknown mode", RunOption{WorkDir: &Mount{Source: "s3://b/p/", Mode: "rwx"}}, "work_dir.mode", "rwx"},
		{"read-only of nothing", RunOption{WorkDir: &Mount{}}, "work_dir.source", "missing"},
		{"output of a read-only mount", RunOption{WorkDir: &Mount{Source: "s3://b/p/", Output: "s3://b/o/"}}, "work_dir.output", "rw"},
		{"output that is no prefix", RunOption{WorkDir: &Mount{Mode: ReadWrite, Output: "s3://b/o"}}, "work_dir.output", "ending in /"},
		{"variable without name", RunOption{EnvVars: map[string]string{"": "x"}}, "env_vars.", "no variable name"},
		{"variable with =", RunOption{EnvVars: map[string]string{"A=B": "x"}}, "env_vars.A=B", "no variable name"},
		{"NUL in a value", RunOption{EnvVars: map[string]string{"A": "x\x00"}}, "env_vars.A", "NUL"},
		{"odd secret", RunOption{EnvVars: map[string]string{"A": "secret://../x y"}}, "env_vars.A", "secret"},
		{"too many hosts", RunOption{AllowedOutboundHosts: many}, "allowed_outbound_hosts", "at most"},
	} {
		err := tc.option.Validate()
		fe, ok := errors.AsType[*FieldError](err)
		if !ok || fe.Field != tc.field || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: error %v; want field %s and %q", tc.name, err, tc.field, tc.text)
		}
	}
}

func TestRunOptionNamesEveryFault(t *testing.T) {
	t.Parallel()
	o := RunOption{WasmCacheDir: "x", MapDirs: []Mount{{Guest: "rel", Mode: "no"}}}
	text := o.Validate().Error()
	for _, want := range []string{"wasm_cache_dir", "map_dirs[0].guest", "map_dirs[0].mode"} {
		if !strings.Contains(text, want) {
			t.Errorf("error %q does not name %s", text, want)
		}
	}
}

func TestGrant(t *testing.T) {
	t.Parallel()
	c := Ceilings{Max: Amounts{Memory: 10 * MiB, Fuel: 1000}}.WithDefaults()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	g, err := c.Grant(&RunOption{})
	if err != nil {
		t.Fatal(err)
	}
	if g.Memory != 10*MiB || g.Fuel != 1000 {
		t.Errorf("a lowered ceiling must lower its default: got memory %s, fuel %d", g.Memory, g.Fuel)
	}
	for _, row := range amountRows {
		if *row.at(&g.Amounts) == 0 {
			t.Errorf("%s is zero: an amount that nobody said must be a default, never nothing or everything", row.field)
		}
	}
	g, err = c.Grant(&RunOption{WasmMaxMemorySize: 10 * MiB, WasmFuel: 1000})
	if err != nil || g.Memory != 10*MiB || g.Fuel != 1000 {
		t.Errorf("asking for exactly the ceiling: %+v, %v", g, err)
	}
	_, err = c.Grant(&RunOption{WasmMaxMemorySize: 10*MiB + 1, WasmFuel: 1001, MaxFiles: 1})
	text := ""
	if err != nil {
		text = err.Error()
	}
	for _, want := range []string{"wasm_max_memory_size", "10485761", "10MiB", "wasm_fuel", "1001"} {
		if !strings.Contains(text, want) {
			t.Errorf("refusal %q does not say %q", text, want)
		}
	}
	if exceeds, ok := errors.AsType[*ExceedsError](err); !ok || exceeds.Field != "wasm_max_memory_size" {
		t.Errorf("refusal is %T", err)
	}
}

// Every amount of a RunOption has its own row: one that is forgotten would be
// a limit that is parsed and not enforced.
func TestEveryAmountIsGranted(t *testing.T) {
	t.Parallel()
	o := RunOption{
		WasmTimeout: 1, WasmMaxMemorySize: 2, WasmMaxWasmStack: 3, WasmFuel: 4, MaxStdout: 5, MaxStderr: 6,
		MaxWrittenBytes: 7, MaxFiles: 8, MaxOpenFiles: 9, MaxOutboundBytes: 10, MaxOutboundRequests: 11,
	}
	g, err := StandardCeilings().Grant(&o)
	want := Amounts{Timeout: 1, Memory: 2, Stack: 3, Fuel: 4, Stdout: 5, Stderr: 6, WrittenBytes: 7, Files: 8, OpenFiles: 9, OutboundBytes: 10, OutboundRequests: 11}
	if err != nil || g.Amounts != want {
		t.Errorf("granted %+v, %v; want %+v", g.Amounts, err, want)
	}
}

func TestCeilingsBelowTheirDefault(t *testing.T) {
	t.Parallel()
	c := StandardCeilings()
	c.Default.Memory = c.Max.Memory + 1
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "wasm_max_memory_size") {
		t.Errorf("error %v; want one that names wasm_max_memory_size", err)
	}
}
