package submitcli

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"boxfleet/jobs"
	"boxfleet/limits"
)

// jobFlags are the flags of `run` that make a job.
type jobFlags struct {
	id, priority, stdin, input       string
	labels                           []string
	maxAttempts                      int
	workDir                          string
	mapDirs, env, outputs            []string
	allow, blockURL, blockNetwork    []string
	timeout                          string
	maxMemory, maxStack, fuel        string
	maxStdout, maxStderr, maxWritten string
	maxFiles, maxOpenFiles           uint64
	maxOutboundBytes                 string
	maxOutboundRequests              uint64
	deterministic, noCache           bool
	allowDangerous                   bool
	once                             onceFlags
	when                             whenFlags
	line                             lineFlags
}

func (f *jobFlags) register(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.StringVar(&f.workDir, "work-dir", "", "directory the guest sees at /: SRC[:ro|rw|scratch]")
	fs.StringArrayVar(&f.mapDirs, "map-dir", nil, "further directory: SRC::GUEST[:ro|rw|scratch]; repeatable")
	fs.StringArrayVar(&f.outputs, "output", nil, "fetch what the guest leaves: GUEST=DIR or GUEST=s3://bucket/prefix/; repeatable")
	fs.StringArrayVar(&f.env, "env", nil, "environment variable: NAME=VALUE, or NAME=secret://NAME; repeatable")
	fs.StringVar(&f.stdin, "stdin", "", "standard input: FILE, or - for this program's")
	fs.StringVar(&f.input, "input", "", "tool input as JSON, or @FILE; mapped to arguments by the tool's schema")
	fs.StringArrayVar(&f.allow, "allowed-outbound-host", nil, "scheme://host[:port] the guest may reach; repeatable; none when absent")
	fs.StringArrayVar(&f.blockURL, "block-url", nil, "URL prefix that is refused; wins over allowed hosts; repeatable")
	fs.StringArrayVar(&f.blockNetwork, "block-network", nil, "CIDR, address or \"private\" that is refused; private always is; repeatable")
	fs.StringVar(&f.timeout, "timeout", "", "wall clock of the run: seconds, or 250ms, 10s, 2m")
	fs.StringVar(&f.maxMemory, "max-memory", "", "all linear memories together, such as 64MiB")
	fs.StringVar(&f.maxStack, "max-stack", "", "wasm stack, such as 512KiB")
	fs.StringVar(&f.fuel, "fuel", "", "operators the guest may execute, such as 1000000 or 1e9")
	fs.StringVar(&f.maxStdout, "max-stdout", "", "bytes of standard output")
	fs.StringVar(&f.maxStderr, "max-stderr", "", "bytes of standard error")
	fs.StringVar(&f.maxWritten, "max-written-bytes", "", "bytes the guest may write to its file system")
	fs.Uint64Var(&f.maxFiles, "max-files", 0, "files and directories the guest may create")
	fs.Uint64Var(&f.maxOpenFiles, "max-open-files", 0, "files the guest may have open at once")
	fs.StringVar(&f.maxOutboundBytes, "max-outbound-bytes", "", "bytes of HTTP, both ways together")
	fs.Uint64Var(&f.maxOutboundRequests, "max-outbound-requests", 0, "outgoing HTTP requests")
	fs.BoolVar(&f.deterministic, "deterministic", false, "fixed clocks and random seed")
	fs.BoolVar(&f.allowDangerous, "allow-dangerous", false, "consent to a tool of permission level dangerous; the operator must permit it too")
	fs.BoolVar(&f.noCache, "no-cache", false, "compile the module afresh and leave the compile cache alone")
	fs.StringVar(&f.id, "id", "", "job id; the same id never runs twice")
	fs.StringVar(&f.priority, "priority", "", "high, normal or low")
	fs.StringArrayVar(&f.labels, "label", nil, "KEY=VALUE to find the job by; repeatable")
	f.once.register(fs)
	f.when.register(fs)
	f.line.register(fs)
	fs.IntVar(&f.maxAttempts, "max-attempts", 0, "tries in all when the fleet fails; the worker's default when absent")
}

// options builds the RunOption. Local directories are noted in up. The error
// joins every wrong flag by its name.
func (f *jobFlags) options(up *uploads) (limits.RunOption, []output, error) {
	var o limits.RunOption
	var errs []error
	bad := func(flag string, err error) {
		if err != nil {
			errs = append(errs, usagef("--%s: %w", flag, bare(err)))
		}
	}
	if f.workDir != "" {
		m, err := parseWorkDir(f.workDir)
		if bad("work-dir", err); err == nil {
			m.Source, err = up.source("", m.Source)
			bad("work-dir", err)
			o.WorkDir = m
		}
	}
	for _, s := range f.mapDirs {
		m, err := parseMapDir(s)
		if bad("map-dir", err); err != nil {
			continue
		}
		m.Source, err = up.source("", m.Source)
		bad("map-dir", err)
		o.MapDirs = append(o.MapDirs, m)
	}
	var outs []output
	for _, s := range f.outputs {
		out, err := parseOutput(s)
		if err == nil {
			err = addOutput(&o, out)
		}
		bad("output", err)
		outs = append(outs, out)
	}
	var err error
	o.EnvVars, err = pairs(f.env, "NAME=VALUE")
	bad("env", err)
	o.AllowedOutboundHosts, o.BlockURL, o.BlockNetworks = f.allow, f.blockURL, f.blockNetwork
	bad("timeout", duration(f.timeout, &o.WasmTimeout))
	for _, b := range []struct {
		flag, value string
		to          *limits.Bytes
	}{
		{"max-memory", f.maxMemory, &o.WasmMaxMemorySize}, {"max-stack", f.maxStack, &o.WasmMaxWasmStack},
		{"max-stdout", f.maxStdout, &o.MaxStdout}, {"max-stderr", f.maxStderr, &o.MaxStderr},
		{"max-written-bytes", f.maxWritten, &o.MaxWrittenBytes}, {"max-outbound-bytes", f.maxOutboundBytes, &o.MaxOutboundBytes},
	} {
		bad(b.flag, amount(b.value, b.to))
	}
	bad("fuel", fuel(f.fuel, &o.WasmFuel))
	o.MaxFiles, o.MaxOpenFiles, o.MaxOutboundRequests = f.maxFiles, f.maxOpenFiles, f.maxOutboundRequests
	o.Deterministic, o.AllowDangerous = f.deterministic, f.allowDangerous
	if f.noCache {
		no := false
		o.Cache = &no
	}
	return o, outs, errors.Join(errs...)
}

// job builds everything of the job but its tool and arguments.
func (f *jobFlags) job(up *uploads) (*jobs.Job, []output, error) {
	opt, outs, err := f.options(up)
	labels, labelErr := pairs(f.labels, "KEY=VALUE")
	if labelErr != nil {
		err = errors.Join(err, usagef("--label: %w", labelErr))
	}
	if f.id != "" && !jobs.ValidID(f.id) {
		err = errors.Join(err, usagef("--id: %q is not 1 to 64 letters, digits, - or _", f.id))
	}
	j := &jobs.Job{
		V: jobs.WireVersion, ID: f.id, Priority: jobs.Priority(f.priority), Options: opt, Labels: labels,
		Retry: jobs.Retry{MaxAttempts: f.maxAttempts},
	}
	return j, outs, errors.Join(err, f.once.apply(j), f.when.apply(j), f.line.apply(j))
}

// bare drops the field of an error that a flag names already.
func bare(err error) error {
	if fe, ok := errors.AsType[*limits.FieldError](err); ok {
		return fe.Err
	}
	return err
}

func pairs(list []string, form string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(list))
	for _, s := range list {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("%q: write %s; nothing is taken from this program's own environment", s, form)
		}
		if _, twice := out[k]; twice {
			return nil, fmt.Errorf("%q is given twice", k)
		}
		out[k] = v
	}
	return out, nil
}

// Amounts of zero would mean "absent", and so the worker's default, which is
// hardly what somebody who writes 0 expects.

func amount(s string, to *limits.Bytes) error {
	if s == "" {
		return nil
	}
	n, err := limits.ParseBytes(s)
	if err == nil && n == 0 {
		err = errZero
	}
	*to = n
	return err
}

func duration(s string, to *limits.Duration) error {
	if s == "" {
		return nil
	}
	d, err := limits.ParseDuration(s)
	if err == nil && d == 0 {
		err = errZero
	}
	*to = d
	return err
}

func fuel(s string, to *uint64) error {
	if s == "" {
		return nil
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		if n == 0 {
			return errZero
		}
		*to = n
		return nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < 1 || f >= 1<<63 || f != float64(uint64(f)) {
		return fmt.Errorf("%q is no number of operators; write a whole number such as 1000000 or 1e9", s)
	}
	*to = uint64(f)
	return nil
}

var errZero = errors.New("0 grants nothing to run with; leave the flag out for the worker's default")

// merge adds defaults for keys that are not there.
func merge(own, defaults map[string]string) map[string]string {
	if len(defaults) == 0 {
		return own
	}
	out := maps.Clone(defaults)
	maps.Copy(out, own)
	return out
}
