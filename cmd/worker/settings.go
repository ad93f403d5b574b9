package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"boxfleet/internal/harden"
	"boxfleet/limits"
	"boxfleet/limits/permission"
)

// settings are everything an operator can set. Each field has one row in
// settingRows, from which flags, environment variables, the config file and
// docs/configuration.md all come.
type settings struct {
	context                                    string
	natsURL, natsUser, natsPassword            string
	natsCreds, natsCA, natsCert, natsKey       string
	natsWait                                   time.Duration
	s3Endpoint, s3AccessKey, s3SecretKey, s3CA string
	s3Bucket, s3Region                         string
	name, http, otlp                           string
	slots, maxAttempts, replicas, tenantJobs   int
	maxRetryAge                                time.Duration
	grace, resultTTL, ackWait                  time.Duration
	sweepOutputsEvery, sweepOutputsAge         time.Duration
	scratchDir, cacheDir, codeKeyFile          string
	cacheBytes, compileCacheBytes, moduleBytes limits.Bytes
	memoryCache, memoryBudget, minFree         limits.Bytes
	maxInput, maxOutput                        limits.Bytes
	maxInputFiles, maxOutputFiles, compilers   int
	access                                     []string
	secretsFile                                string
	webhookHosts                               []string
	webhookPrivate                             bool
	allowPrivate                               bool
	permissions                                permission.Policy
	trustedKeys                                []string
	requireSigned                              bool
	hardening                                  harden.Mode
	ceilings                                   limits.Ceilings
	logLevel, logFormat                        string
}

// settingRow is one setting: its name as a flag, how to read it, what it means.
type settingRow struct {
	name  string
	def   string // as a person writes it; "" means none
	doc   string
	group string
	set   func(s *settings, text string) error
}

func text(at func(*settings) *string) func(*settings, string) error {
	return func(s *settings, v string) error { *at(s) = v; return nil }
}

func number(at func(*settings) *int) func(*settings, string) error {
	return func(s *settings, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is not a whole number", v)
		}
		*at(s) = n
		return nil
	}
}

func size(at func(*settings) *limits.Bytes) func(*settings, string) error {
	return func(s *settings, v string) (err error) { *at(s), err = limits.ParseBytes(v); return err }
}

func duration(at func(*settings) *time.Duration) func(*settings, string) error {
	return func(s *settings, v string) error {
		d, err := limits.ParseDuration(v)
		*at(s) = time.Duration(d)
		return err
	}
}

func yesNo(at func(*settings) *bool) func(*settings, string) error {
	return func(s *settings, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", v)
		}
		*at(s) = b
		return nil
	}
}

func list(at func(*settings) *[]string) func(*settings, string) error {
	return func(s *settings, v string) error {
		*at(s) = nil
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				*at(s) = append(*at(s), part)
			}
		}
		return nil
	}
}

const (
	groupFleet  = "The fleet"
	groupWorker = "The worker"
	groupDisk   = "Disk and memory"
	groupTrust  = "What jobs may name"
	groupJobs   = "Ceilings and defaults of a job"
	groupLog    = "Logs and telemetry"
)

// settingRows lists every setting of a worker once.
var settingRows = append([]settingRow{
	{"context", "", "file with addresses and credentials of the fleet; the settings below win over it", groupFleet, text(func(s *settings) *string { return &s.context })},
	{"nats", "", "nats:// address, or several with commas", groupFleet, text(func(s *settings) *string { return &s.natsURL })},
	{"nats-user", "", "user of the NATS server", groupFleet, text(func(s *settings) *string { return &s.natsUser })},
	{"nats-password", "", "password of the NATS server", groupFleet, text(func(s *settings) *string { return &s.natsPassword })},
	{"nats-creds", "", "NATS .creds file, instead of user and password", groupFleet, text(func(s *settings) *string { return &s.natsCreds })},
	{"nats-ca", "", "PEM file of the authority that signed the server's certificate", groupFleet, text(func(s *settings) *string { return &s.natsCA })},
	{"nats-cert", "", "PEM file of the worker's own certificate", groupFleet, text(func(s *settings) *string { return &s.natsCert })},
	{"nats-key", "", "PEM file of the key of that certificate", groupFleet, text(func(s *settings) *string { return &s.natsKey })},
	{"nats-wait", "2m", "how long to keep trying to reach NATS at start", groupFleet, duration(func(s *settings) *time.Duration { return &s.natsWait })},
	{"s3-endpoint", "", "http:// or https:// address of the object store", groupFleet, text(func(s *settings) *string { return &s.s3Endpoint })},
	{"s3-access-key", "", "access key of the object store", groupFleet, text(func(s *settings) *string { return &s.s3AccessKey })},
	{"s3-secret-key", "", "secret key of the object store", groupFleet, text(func(s *settings) *string { return &s.s3SecretKey })},
	{"s3-bucket", "boxfleet", "bucket for modules, inputs and outputs", groupFleet, text(func(s *settings) *string { return &s.s3Bucket })},
	{"s3-region", "us-east-1", "region that requests are signed for", groupFleet, text(func(s *settings) *string { return &s.s3Region })},
	{"s3-ca", "", "PEM file of the authority that signed the object store's certificate; by default the system's", groupFleet, text(func(s *settings) *string { return &s.s3CA })},
	{"replicas", "1", "copies of every stream: 1, or 3 on a cluster", groupFleet, number(func(s *settings) *int { return &s.replicas })},
	{"result-ttl", "72h", "how long finished jobs can be looked up", groupFleet, duration(func(s *settings) *time.Duration { return &s.resultTTL })},
	{"ack-wait", "30s", "how long a worker may be silent before its jobs are given to others, 2s to 1h; a worker gives three signs of life in this time; one value for the whole fleet", groupFleet, duration(func(s *settings) *time.Duration { return &s.ackWait })},
	{"sweep-outputs-every", "1h", "how often one worker of the fleet removes objects below out/ that no result names; 0s for never", groupFleet, duration(func(s *settings) *time.Duration { return &s.sweepOutputsEvery })},
	{"sweep-outputs-age", "1h", "how long such an object must have been there", groupFleet, duration(func(s *settings) *time.Duration { return &s.sweepOutputsAge })},
	{"tenant-concurrency", "10000", "most jobs of one tenant and priority that run or wait for a retry at once", groupFleet, number(func(s *settings) *int { return &s.tenantJobs })},

	{"name", "", "name of this worker; by default the host's name and a random part", groupWorker, text(func(s *settings) *string { return &s.name })},
	{"slots", "", "jobs that run at once; by default four a core", groupWorker, number(func(s *settings) *int { return &s.slots })},
	{"http", "127.0.0.1:0", "address of /healthz, /readyz and /metrics; empty for none", groupWorker, text(func(s *settings) *string { return &s.http })},
	{"grace", "20s", "how long running jobs may go on after SIGTERM", groupWorker, duration(func(s *settings) *time.Duration { return &s.grace })},
	{"max-retry-age", "24h", "how long after its first failed attempt a job is tried again", groupWorker, duration(func(s *settings) *time.Duration { return &s.maxRetryAge })},
	{"max-attempts", "5", "tries of a job that asks for no other number", groupWorker, number(func(s *settings) *int { return &s.maxAttempts })},
	{"compilers", "", "modules that compile at once; by default half the cores", groupWorker, number(func(s *settings) *int { return &s.compilers })},

	{"scratch-dir", "", "directory of running jobs' files; by default below the user's cache directory", groupDisk, text(func(s *settings) *string { return &s.scratchDir })},
	{"scratch-min-free", "64MiB", "what must be free on that disk; with less the worker takes no jobs", groupDisk, size(func(s *settings) *limits.Bytes { return &s.minFree })},
	{"cache-dir", "", "directory of modules, inputs and compiled code (wasm_cache_dir); only this user may write it, and one worker at a time: {free} in it stands for the first number whose directory no other worker uses", groupDisk, text(func(s *settings) *string { return &s.cacheDir })},
	{"cache-size", "10GiB", "modules and inputs kept on disk", groupDisk, size(func(s *settings) *limits.Bytes { return &s.cacheBytes })},
	{"compile-cache-size", "4GiB", "compiled code kept on disk", groupDisk, size(func(s *settings) *limits.Bytes { return &s.compileCacheBytes })},
	{"compile-cache-key-file", "", "file (mode 0600) with a secret of 32 bytes or more, the same on all workers: those that have it share compiled code through the object store below code/ and believe nothing there that was not written with it; whoever has it runs native code on every worker. By default nothing is shared", groupDisk, text(func(s *settings) *string { return &s.codeKeyFile })},
	{"module-memory", "512MiB", "compiled modules kept in memory", groupDisk, size(func(s *settings) *limits.Bytes { return &s.memoryCache })},
	{"memory-budget", "", "declared memory of all running jobs together; by default half the machine's", groupDisk, size(func(s *settings) *limits.Bytes { return &s.memoryBudget })},
	{"max-module-size", "64MiB", "largest module that is fetched", groupDisk, size(func(s *settings) *limits.Bytes { return &s.moduleBytes })},
	{"max-input-size", "1GiB", "bytes one job may stage", groupDisk, size(func(s *settings) *limits.Bytes { return &s.maxInput })},
	{"max-input-files", "100000", "files one job may stage", groupDisk, number(func(s *settings) *int { return &s.maxInputFiles })},
	{"max-output-size", "1GiB", "bytes one job may leave as outputs", groupDisk, size(func(s *settings) *limits.Bytes { return &s.maxOutput })},
	{"max-output-files", "10000", "files one job may leave as outputs", groupDisk, number(func(s *settings) *int { return &s.maxOutputFiles })},

	{"access", "", "rules r:, w: or rw:bucket/prefix/ with {tenant}; by default inputs/{tenant}/, outputs/{tenant}/ and out/{tenant}/ of the bucket", groupTrust, list(func(s *settings) *[]string { return &s.access })},
	{"secrets-file", "", "YAML or JSON file (mode 0600) of name: value for secret://name", groupTrust, text(func(s *settings) *string { return &s.secretsFile })},
	{"max-level", "execute", "highest permission level of tools that run here: none, read_only, write, execute or dangerous; see tools.md", groupTrust, level(func(s *settings) *permission.Level { return &s.permissions.MaxLevel })},
	{"unregistered-level", "execute", "level of modules that nobody registered with one; forbidden refuses them", groupTrust, level(func(s *settings) *permission.Level { return &s.permissions.Unregistered })},
	{"tenant-levels", "", "ceilings of single tenants, such as web=read_only,bots=search-only: a permission level, or a tier (full, read-only, search-only)", groupTrust, tenantLevels},
	{"trusted-keys", "", "PEM files of public keys whose signatures of tools count, with commas", groupTrust, list(func(s *settings) *[]string { return &s.trustedKeys })},
	{"require-signed", "false", "run only modules that one of the trusted-keys has signed", groupTrust, yesNo(func(s *settings) *bool { return &s.requireSigned })},
	{"webhook-hosts", "", "endpoints that may be told of ended batches, as https://host[:port] with the patterns of allowed_outbound_hosts; plain http where an entry says http://; by default none. Give all workers the same", groupTrust, list(func(s *settings) *[]string { return &s.webhookHosts })},
	{"webhook-private-networks", "false", "let these endpoints have private addresses", groupTrust, yesNo(func(s *settings) *bool { return &s.webhookPrivate })},
	{"allow-private-networks", "false", "let jobs reach private addresses that they allow; for development", groupTrust, yesNo(func(s *settings) *bool { return &s.allowPrivate })},
	{"hardening", "on", "on: take from the worker's own process what this system lets it give up (file access by Landlock, new privileges, core dumps); require: do not start without all of it; off", groupTrust, func(s *settings, v string) (err error) { s.hardening, err = harden.ParseMode(v); return err }},

	{"log-level", "info", "debug, info, warn or error", groupLog, text(func(s *settings) *string { return &s.logLevel })},
	{"log-format", "text", "text or json", groupLog, text(func(s *settings) *string { return &s.logFormat })},
	{"otlp", "", "OTLP/HTTP base URL for traces; the standard OTEL_* variables win", groupLog, text(func(s *settings) *string { return &s.otlp })},
}, ceilingRows()...)

// ceilingRows makes a default- and a max- setting of every amount.
func ceilingRows() []settingRow {
	std := limits.StandardCeilings()
	type amount struct {
		name, doc string
		bytes     func(*limits.Amounts) *limits.Bytes
		count     func(*limits.Amounts) *uint64
	}
	amounts := []amount{
		{name: "memory", doc: "linear memories and tables (wasm_max_memory_size)", bytes: func(a *limits.Amounts) *limits.Bytes { return &a.Memory }},
		{name: "stack", doc: "metered stack (wasm_max_wasm_stack)", bytes: func(a *limits.Amounts) *limits.Bytes { return &a.Stack }},
		{name: "fuel", doc: "executed operators (wasm_fuel)", count: func(a *limits.Amounts) *uint64 { return &a.Fuel }},
		{name: "stdout", doc: "standard output (max_stdout)", bytes: func(a *limits.Amounts) *limits.Bytes { return &a.Stdout }},
		{name: "stderr", doc: "standard error (max_stderr)", bytes: func(a *limits.Amounts) *limits.Bytes { return &a.Stderr }},
		{name: "written", doc: "bytes written to files (max_written_bytes)", bytes: func(a *limits.Amounts) *limits.Bytes { return &a.WrittenBytes }},
		{name: "files", doc: "files created (max_files)", count: func(a *limits.Amounts) *uint64 { return &a.Files }},
		{name: "open-files", doc: "descriptors open at once (max_open_files)", count: func(a *limits.Amounts) *uint64 { return &a.OpenFiles }},
		{name: "outbound-bytes", doc: "HTTP bytes both ways (max_outbound_bytes)", bytes: func(a *limits.Amounts) *limits.Bytes { return &a.OutboundBytes }},
		{name: "outbound-requests", doc: "HTTP requests (max_outbound_requests)", count: func(a *limits.Amounts) *uint64 { return &a.OutboundRequests }},
	}
	var rows []settingRow
	for _, kind := range []struct {
		prefix, doc string
		in          func(*limits.Ceilings) *limits.Amounts
	}{
		{"default-", "what a job gets that asks for none: ", func(c *limits.Ceilings) *limits.Amounts { return &c.Default }},
		{"ceiling-", "the most a job may ask for: ", func(c *limits.Ceilings) *limits.Amounts { return &c.Max }},
	} {
		rows = append(rows, settingRow{
			kind.prefix + "timeout", kind.in(&std).Timeout.String(), kind.doc + "wall clock of the run (wasm_timeout)", groupJobs,
			func(s *settings, v string) (err error) {
				kind.in(&s.ceilings).Timeout, err = limits.ParseDuration(v)
				return err
			},
		})
		for _, a := range amounts {
			row := settingRow{name: kind.prefix + a.name, doc: kind.doc + a.doc, group: groupJobs}
			if a.bytes != nil {
				row.def = a.bytes(kind.in(&std)).String()
				row.set = size(func(s *settings) *limits.Bytes { return a.bytes(kind.in(&s.ceilings)) })
			} else {
				row.def = strconv.FormatUint(*a.count(kind.in(&std)), 10)
				row.set = func(s *settings, v string) error {
					n, err := strconv.ParseUint(v, 10, 64)
					if err != nil {
						return fmt.Errorf("%q is not a whole number", v)
					}
					*a.count(kind.in(&s.ceilings)) = n
					return nil
				}
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// envName is the environment variable of a setting.
func envName(name string) string {
	return "BOXFLEET_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// settingFlags adds a flag for every setting that keep accepts, and --config.
func settingFlags(flags *pflag.FlagSet, keep func(name string) bool) {
	flags.String("config", "", "YAML or JSON file of settings (name: value)")
	for _, row := range settingRows {
		if keep == nil || keep(row.name) {
			flags.String(row.name, "", row.doc+defaultText(row))
			if row.def == "false" {
				flags.Lookup(row.name).NoOptDefVal = "true" // --switch alone turns it on
			}
		}
	}
}

func defaultText(row settingRow) string {
	if row.def == "" {
		return ""
	}
	return " (default " + row.def + ")"
}

// loadSettings reads every setting: flag, then environment, then config file,
// then default. Settings that nobody set and that have no default stay zero.
func loadSettings(flags *pflag.FlagSet) (*settings, error) {
	file := map[string]string{}
	path, _ := flags.GetString("config")
	if path == "" {
		path = os.Getenv("BOXFLEET_CONFIG")
	}
	if path != "" {
		var err error
		if file, err = readConfigFile(path); err != nil {
			return nil, &usageError{err}
		}
	}
	s := &settings{}
	var errs []error
	for _, row := range settingRows {
		value, where := row.def, "default"
		if v, ok := file[row.name]; ok {
			value, where = v, path
		}
		if v, ok := os.LookupEnv(envName(row.name)); ok {
			value, where = v, envName(row.name)
		}
		if f := flags.Lookup(row.name); f != nil && f.Changed {
			value, where = f.Value.String(), "--"+row.name
		}
		if value == "" && where == "default" {
			continue
		}
		if where == "default" && (strings.HasPrefix(row.name, "default-") || strings.HasPrefix(row.name, "ceiling-")) {
			continue // limits.Ceilings.WithDefaults knows how one follows the other
		}
		if value == "" && row.name != "http" {
			continue
		}
		if err := row.set(s, value); err != nil {
			errs = append(errs, &usageError{fmt.Errorf("%s: %s: %w", where, row.name, err)})
		}
	}
	if s.slots == 0 {
		s.slots = 4 * runtime.GOMAXPROCS(0)
	}
	return s, errors.Join(errs...)
}

// readConfigFile reads a flat file of settings. A name that is no setting is
// an error: a limit that is not understood must not be ignored.
func readConfigFile(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the config file: %w", err)
	}
	var raw map[string]any
	if err := yaml.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("read the config file %s: %w", path, err)
	}
	out := map[string]string{}
	var errs []error
	for key, v := range raw {
		name := strings.ReplaceAll(key, "_", "-")
		if !slices.ContainsFunc(settingRows, func(r settingRow) bool { return r.name == name }) {
			errs = append(errs, fmt.Errorf("config file %s: %q is no setting; see docs/configuration.md or `worker settings`", path, key))
			continue
		}
		switch x := v.(type) {
		case []any:
			parts := make([]string, len(x))
			for i, p := range x {
				parts[i] = fmt.Sprint(p)
			}
			out[name] = strings.Join(parts, ",")
		case map[string]any:
			errs = append(errs, fmt.Errorf("config file %s: %q is a map; settings are flat", path, key))
		case nil:
		default:
			out[name] = fmt.Sprint(x)
		}
	}
	return out, errors.Join(errs...)
}

// settingsCommand prints all settings as Markdown: docs/configuration.md is
// its output, and a test holds the two together.
func settingsCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "settings", Short: "List every setting of a worker, as Markdown", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return writeSettings(stdout) },
	}
}

func writeSettings(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Settings of a worker\n\n" +
		"Made by `worker settings`; a test keeps it true. Each setting is a flag (`--slots 8`), an environment\n" +
		"variable (`BOXFLEET_SLOTS=8`) and a line of the config file (`slots: 8`, file named by `--config` or\n" +
		"`BOXFLEET_CONFIG`, YAML or JSON). A flag wins over the environment, the environment over the file, the file\n" +
		"over the context, the context over the default. An unknown name in the file is an error.\n\n" +
		"Amounts of bytes are written as `64MiB` or `1GB`, times as `250ms`, `20s` or seconds.\n")
	group := ""
	for _, row := range settingRows {
		if row.group != group {
			group = row.group
			b.WriteString("\n## " + group + "\n\n| Setting | Environment | Default | Meaning |\n|---|---|---|---|\n")
		}
		def := row.def
		if def == "" {
			def = " "
		} else {
			def = "`" + def + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", row.name, envName(row.name), def, row.doc)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
