package limits

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// Mode is what a guest may do below a mount.
type Mode string

// The modes of a mount. The empty mode in a message means ReadOnly: the
// weakest grant.
const (
	ReadOnly  Mode = "ro"      // staged, every change refused with EROFS
	ReadWrite Mode = "rw"      // staged, new and changed files are outputs
	Scratch   Mode = "scratch" // staged, changes allowed, thrown away after the run
)

// Bounds on the shape of a RunOption. A job is at most 64 KiB anyway; these
// keep the host's work per job small and the errors early.
const (
	MaxMounts      = 32
	MaxEnvVars     = 256
	MaxPolicyItems = 256
	MaxGuestPath   = 1024
)

// Mount says what is staged where. As a RunOption's WorkDir its Guest is "/".
type Mount struct {
	// Source is `s3://bucket/prefix/` or `sha256:<digest>` of an uploaded
	// directory; empty means an empty directory (not for "ro").
	Source string `json:"source,omitempty" jsonschema:"description=s3://bucket/prefix/ or sha256:<digest> of an uploaded directory; empty means an empty directory"`
	// Guest is the absolute path the guest sees.
	Guest string `json:"guest,omitempty" jsonschema:"description=absolute path the guest sees; / for work_dir"`
	// Mode is ro (default), rw or scratch.
	Mode Mode `json:"mode,omitempty" jsonschema:"enum=ro,enum=rw,enum=scratch,description=what the guest may do; ro when absent"`
	// Output is an `s3://bucket/prefix/` the committed outputs of an rw mount
	// are published to; empty keeps them under the job's own prefix only.
	Output string `json:"output,omitempty" jsonschema:"description=s3://bucket/prefix/ that committed outputs of an rw mount are published to"`
}

// UnmarshalJSON accepts the object form, or a string that is the source of a
// read-only mount (the seed's form of work_dir).
func (m *Mount) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &m.Source)
	}
	type plain Mount
	return json.Unmarshal(data, (*plain)(m))
}

// RunOption is what one job may do: the seed's eleven dimensions under the
// seed's names, and boxfleet's own caps. Zero values mean absent: denied for
// permissions, the worker's default for amounts.
type RunOption struct {
	// WorkDir is staged at guest "/".
	WorkDir *Mount `json:"work_dir,omitempty" jsonschema:"description=directory staged at guest /"`
	// MapDirs are further mounts.
	MapDirs []Mount `json:"map_dirs,omitempty" jsonschema:"description=further directories; each at its guest path"`
	// EnvVars are the guest's whole environment. A value `secret://name` is
	// resolved by the worker from its operator's allow-list.
	EnvVars map[string]string `json:"env_vars,omitempty" jsonschema:"description=the guest's whole environment; secret://name is resolved by the worker"`
	// AllowedOutboundHosts are `scheme://host[:port]` patterns.
	AllowedOutboundHosts []string `json:"allowed_outbound_hosts,omitempty" jsonschema:"description=scheme://host[:port] patterns the guest may reach; absent denies all"`
	// BlockURL are URL prefixes; they win over AllowedOutboundHosts.
	BlockURL StringList `json:"block_url,omitempty" jsonschema:"description=one or more URL prefixes that are refused; wins over allow"`
	// BlockNetworks are CIDRs, addresses or "private", checked on the address
	// dialled. Absent means private.
	BlockNetworks []string `json:"block_networks,omitempty" jsonschema:"description=CIDR or address or private; checked on the address dialled; private is always included"`
	// WasmTimeout bounds the wall clock of the run, host calls included.
	WasmTimeout Duration `json:"wasm_timeout,omitempty" jsonschema:"description=seconds or a duration string; wall clock of the run"`
	// WasmMaxMemorySize bounds all linear memories of the instance together.
	WasmMaxMemorySize Bytes `json:"wasm_max_memory_size,omitempty" jsonschema:"description=bytes; all linear memories and tables of the instance together"`
	// WasmMaxWasmStack bounds the metered stack.
	WasmMaxWasmStack Bytes `json:"wasm_max_wasm_stack,omitempty" jsonschema:"description=bytes of metered stack"`
	// WasmFuel bounds executed operators (Wasmtime's table).
	WasmFuel uint64 `json:"wasm_fuel,omitempty" jsonschema:"description=executed operators; counted as Wasmtime does"`
	// WasmCacheDir is the worker's business. The seed's messages may carry it,
	// so it decodes, and Validate says why a job cannot set it.
	WasmCacheDir string `json:"wasm_cache_dir,omitempty" jsonschema:"description=refused in a job: the compile cache is a worker setting; see cache"`
	// Cache false compiles the module afresh and leaves the cache untouched.
	Cache *bool `json:"cache,omitempty" jsonschema:"description=false compiles the module afresh"`

	MaxStdout           Bytes  `json:"max_stdout,omitempty" jsonschema:"description=bytes of standard output before output_limit"`
	MaxStderr           Bytes  `json:"max_stderr,omitempty" jsonschema:"description=bytes of standard error before output_limit"`
	MaxWrittenBytes     Bytes  `json:"max_written_bytes,omitempty" jsonschema:"description=bytes the guest may write to its file system"`
	MaxFiles            uint64 `json:"max_files,omitempty" jsonschema:"description=files and directories the guest may create"`
	MaxOpenFiles        uint64 `json:"max_open_files,omitempty" jsonschema:"description=descriptors open at once"`
	MaxOutboundBytes    Bytes  `json:"max_outbound_bytes,omitempty" jsonschema:"description=bytes of HTTP bodies and headers; both ways together"`
	MaxOutboundRequests uint64 `json:"max_outbound_requests,omitempty" jsonschema:"description=outgoing HTTP requests"`
	// Deterministic fixes clocks and the random seed.
	Deterministic bool `json:"deterministic,omitempty" jsonschema:"description=fixed clocks and random seed"`
	// AllowDangerous is the submitter's consent to a tool of level dangerous.
	// It grants nothing by itself: the operator must permit such tools too.
	AllowDangerous bool `json:"allow_dangerous,omitempty" jsonschema:"description=consent to run a tool of permission level dangerous"`
}

// FieldError says which field of a job was wrong, and how.
type FieldError struct {
	Field string // JSON path, such as options.map_dirs[1].guest
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *FieldError) Unwrap() error { return e.Err }

func fieldErrorf(field, format string, args ...any) error {
	return &FieldError{Field: field, Err: fmt.Errorf(format, args...)}
}

// Mounts gives every mount with the work directory first, its Guest set to
// "/" and every Mode explicit.
func (o *RunOption) Mounts() []Mount {
	var out []Mount
	if o.WorkDir != nil {
		m := *o.WorkDir
		m.Guest = "/"
		out = append(out, m)
	}
	out = append(out, o.MapDirs...)
	for i := range out {
		if out[i].Mode == "" {
			out[i].Mode = ReadOnly
		}
	}
	return out
}

// CacheAllowed tells whether a cached compilation may be used.
func (o *RunOption) CacheAllowed() bool { return o.Cache == nil || *o.Cache }

// Validate judges the form of the option: everything that needs no worker.
// Errors are *FieldError, joined, with paths relative to the option.
func (o *RunOption) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fieldErrorf(field, format, args...))
	}
	if o.WasmCacheDir != "" {
		bad("wasm_cache_dir", "%q: a job cannot choose the worker's compile cache, because whoever writes it runs native code; use \"cache\": false to compile afresh", o.WasmCacheDir)
	}
	if w := o.WorkDir; w != nil {
		if w.Guest != "" && w.Guest != "/" {
			bad("work_dir.guest", "%q: the work directory is always at /; use map_dirs for other paths", w.Guest)
		}
		errs = append(errs, w.validate("work_dir"))
	}
	if len(o.MapDirs) > MaxMounts {
		bad("map_dirs", "%d mounts; at most %d", len(o.MapDirs), MaxMounts)
	}
	seen := map[string]int{}
	for i := range o.MapDirs {
		m, field := &o.MapDirs[i], fmt.Sprintf("map_dirs[%d]", i)
		errs = append(errs, validGuestPath(field+".guest", m.Guest), m.validate(field))
		if j, dup := seen[m.Guest]; dup {
			bad(field+".guest", "%q is mounted already by map_dirs[%d]", m.Guest, j)
		}
		seen[m.Guest] = i
		if m.Guest == "/" && o.WorkDir != nil {
			bad(field+".guest", "/ is taken by work_dir")
		}
	}
	errs = append(errs, o.validateEnv(), o.validateNetwork())
	return errors.Join(errs...)
}

func (m *Mount) validate(field string) error {
	var errs []error
	bad := func(name, format string, args ...any) {
		errs = append(errs, fieldErrorf(field+"."+name, format, args...))
	}
	switch m.Mode {
	case "", ReadOnly, ReadWrite, Scratch:
	default:
		bad("mode", "%q is no mode; write ro, rw or scratch", m.Mode)
	}
	if m.Source == "" && (m.Mode == "" || m.Mode == ReadOnly) {
		bad("source", "missing: a read-only mount needs one; write s3://bucket/prefix/, or mode rw or scratch for an empty directory")
	}
	if m.Output != "" {
		if m.Mode != ReadWrite {
			bad("output", "%q: only an rw mount has outputs; set mode to rw", m.Output)
		}
		if !strings.HasPrefix(m.Output, "s3://") || !strings.HasSuffix(m.Output, "/") {
			bad("output", "%q is not an s3://bucket/prefix/ ending in /", m.Output)
		}
	}
	return errors.Join(errs...)
}

func validGuestPath(field, p string) error {
	switch {
	case p == "":
		return fieldErrorf(field, "missing: say the absolute path the guest sees")
	case !strings.HasPrefix(p, "/"):
		return fieldErrorf(field, "%q is not absolute; write /%s", p, p)
	case len(p) > MaxGuestPath:
		return fieldErrorf(field, "%d bytes long; at most %d", len(p), MaxGuestPath)
	case !utf8.ValidString(p) || strings.ContainsFunc(p, isControl):
		return fieldErrorf(field, "%q has control characters or is not UTF-8", p)
	case path.Clean(p) != p:
		return fieldErrorf(field, "%q is not a clean path; write %s", p, path.Clean(p))
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

func (o *RunOption) validateEnv() error {
	if len(o.EnvVars) > MaxEnvVars {
		return fieldErrorf("env_vars", "%d variables; at most %d", len(o.EnvVars), MaxEnvVars)
	}
	var errs []error
	for name, value := range o.EnvVars {
		field := "env_vars." + name
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			errs = append(errs, fieldErrorf(field, "%q is no variable name", name))
		case strings.Contains(value, "\x00"):
			errs = append(errs, fieldErrorf(field, "the value has a NUL byte"))
		case strings.HasPrefix(value, SecretPrefix) && !validSecretName(value[len(SecretPrefix):]):
			errs = append(errs, fieldErrorf(field, "%q names no secret; write secret://name with letters, digits, - _ . or /", value))
		}
	}
	return errors.Join(errs...)
}

// SecretPrefix marks an environment value that the worker resolves.
const SecretPrefix = "secret://"

func validSecretName(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./", r))
	})
}

func (o *RunOption) validateNetwork() error {
	for field, list := range map[string][]string{
		"allowed_outbound_hosts": o.AllowedOutboundHosts, "block_url": o.BlockURL, "block_networks": o.BlockNetworks,
	} {
		if len(list) > MaxPolicyItems {
			return fieldErrorf(field, "%d entries; at most %d", len(list), MaxPolicyItems)
		}
	}
	return nil
}
