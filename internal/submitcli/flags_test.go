package submitcli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"boxfleet/limits"
)

func TestParseMounts(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]limits.Mount{
		"./data::/in":       {Source: "./data", Guest: "/in"},
		"./data::/in:ro":    {Source: "./data", Guest: "/in", Mode: limits.ReadOnly},
		"s3://b/p/::/in:rw": {Source: "s3://b/p/", Guest: "/in", Mode: limits.ReadWrite},
		"sha256:" + strings.Repeat("0", 64) + "::/in": {Source: "sha256:" + strings.Repeat("0", 64), Guest: "/in"},
		`C:\data::/in:scratch`:                        {Source: `C:\data`, Guest: "/in", Mode: limits.Scratch},
		"a:b::/in":                                    {Source: "a:b", Guest: "/in"},
		"a::/b::/in":                                  {Source: "a::/b", Guest: "/in"},
		"./x:ro::/in":                                 {Source: "./x:ro", Guest: "/in"},
		"::/out:rw":                                   {Guest: "/out", Mode: limits.ReadWrite},
		"./data::/a:b":                                {Source: "./data", Guest: "/a:b"},
	} {
		got, err := parseMapDir(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", in, d)
		}
	}
	for _, bad := range []string{"", "./data", "./data:/in", "./data::in", "::", ":ro"} {
		if m, err := parseMapDir(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, m)
		}
	}
	for in, want := range map[string]limits.Mount{
		"./data": {Source: "./data"}, "./data:rw": {Source: "./data", Mode: limits.ReadWrite}, `C:\data`: {Source: `C:\data`}, "a:rx": {Source: "a:rx"},
		"./a:ro:ro": {Source: "./a:ro", Mode: limits.ReadOnly}, ":scratch": {Mode: limits.Scratch},
	} {
		got, err := parseWorkDir(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if d := cmp.Diff(want, *got); d != "" {
			t.Errorf("%s: %s", in, d)
		}
	}
	for _, bad := range []string{":ro", ""} {
		if m, err := parseWorkDir(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, m)
		}
	}
}

func TestParseOutput(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]output{
		"/out=./r":        {guest: "/out", dir: "./r"},
		"/out/=r=s":       {guest: "/out", dir: "r=s"},
		"/=all":           {guest: "/", dir: "all"},
		"/out=s3://b/p":   {guest: "/out", remote: "s3://b/p/"},
		"/out=s3://b/p/":  {guest: "/out", remote: "s3://b/p/"},
		`/out=C:\results`: {guest: "/out", dir: `C:\results`},
	} {
		if got, err := parseOutput(in); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, bad := range []string{"", "/out", "/out=", "out=x", "=x"} {
		if o, err := parseOutput(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, o)
		}
	}
}

// options parses flags as `run` does.
func options(t *testing.T, args ...string) (limits.RunOption, []output, error) {
	t.Helper()
	var f jobFlags
	fs := pflag.NewFlagSet("run", pflag.ContinueOnError)
	f.register(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f.options(newUploads())
}

// TestEveryRunOptionHasAFlag sets every flag and then looks whether a field of
// RunOption is still empty.
func TestEveryRunOptionHasAFlag(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	got, outs, err := options(t, "--work-dir", dir+":rw", "--map-dir", dir+"::/in", "--map-dir", "s3://b/p/::/s:scratch", "--map-dir", "::/pub:rw", "--output", "/out="+dir, "--output", "/pub=s3://b/o",
		"--env", "A=b=c", "--env", "S=secret://s", "--allowed-outbound-host", "https://x", "--block-url", "http://y/", "--block-network", "10.0.0.0/8",
		"--timeout", "1.5", "--max-memory", "64MiB", "--max-stack", "1MiB", "--fuel", "1e9", "--max-stdout", "1k", "--max-stderr", "2k",
		"--max-written-bytes", "3k", "--max-files", "4", "--max-open-files", "5", "--max-outbound-bytes", "6k", "--max-outbound-requests", "7", "--deterministic", "--no-cache")
	if err != nil {
		t.Fatal(err)
	}
	no := false
	want := limits.RunOption{
		WorkDir: &limits.Mount{Source: string(placeholder), Mode: limits.ReadWrite},
		MapDirs: []limits.Mount{
			{Source: string(placeholder), Guest: "/in"}, {Source: "s3://b/p/", Guest: "/s", Mode: limits.Scratch},
			{Guest: "/pub", Mode: limits.ReadWrite, Output: "s3://b/o/"},
		},
		EnvVars: map[string]string{"A": "b=c", "S": "secret://s"}, AllowedOutboundHosts: []string{"https://x"}, BlockURL: limits.StringList{"http://y/"}, BlockNetworks: []string{"10.0.0.0/8"},
		WasmTimeout: 1.5e9, WasmMaxMemorySize: 64 * limits.MiB, WasmMaxWasmStack: limits.MiB, WasmFuel: 1e9, Cache: &no, MaxStdout: limits.KiB, MaxStderr: 2 * limits.KiB,
		MaxWrittenBytes: 3 * limits.KiB, MaxFiles: 4, MaxOpenFiles: 5, MaxOutboundBytes: 6 * limits.KiB, MaxOutboundRequests: 7, Deterministic: true,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if len(outs) != 2 || outs[0].dir != dir || outs[1].remote != "s3://b/o/" {
		t.Errorf("outputs %+v", outs)
	}
	// /out lies in the work directory, which is rw: it is collected with it.
	if err := got.Validate(); err != nil {
		t.Errorf("the option is not valid: %v", err)
	}
}

func TestOutputMounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		args []string
		want string // of the error; "" for none
	}{
		"new mount":         {[]string{"--output", "/out=x"}, ""},
		"rw mount":          {[]string{"--map-dir", dir + "::/out:rw", "--output", "/out=x"}, ""},
		"ro mount":          {[]string{"--map-dir", dir + "::/out:ro", "--output", "/out=x"}, "mounted ro"},
		"mount by default":  {[]string{"--map-dir", dir + "::/out", "--output", "/out=x"}, "mounted ro"},
		"scratch mount":     {[]string{"--map-dir", dir + "::/out:scratch", "--output", "/out=x"}, "mounted scratch"},
		"ro work dir":       {[]string{"--work-dir", dir, "--output", "/=x"}, "mounted ro"},
		"inside an rw":      {[]string{"--work-dir", dir + ":rw", "--output", "/a/b=x"}, ""},
		"inside an rw, s3":  {[]string{"--work-dir", dir + ":rw", "--output", "/a/b=s3://b/p/"}, "takes a whole mount"},
		"two s3 for one":    {[]string{"--output", "/out=s3://b/p/", "--output", "/out=s3://b/q/"}, "two s3:// outputs"},
		"here and there":    {[]string{"--output", "/out=s3://b/p/", "--output", "/out=x"}, ""},
		"no such directory": {[]string{"--work-dir", filepath.Join(dir, "none")}, "no such file"},
		"slip in the mode":  {[]string{"--work-dir", dir + ":rx"}, ":ro, :rw or :scratch"},
	} {
		_, _, err := options(t, tc.args...)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: error %v, want one with %q", name, err, tc.want)
		}
	}
}

func TestBadFlagsAreNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := options(t, "--work-dir", file, "--map-dir", "x", "--output", "x", "--env", "A", "--timeout", "soon", "--max-memory", "much", "--fuel", "1.5", "--max-stack", "0")
	if err == nil {
		t.Fatal("all of this was taken")
	}
	for _, flag := range []string{"--work-dir:", "--map-dir:", "--output:", "--env:", "--timeout:", "--max-memory:", "--fuel:", "--max-stack:"} {
		if n := strings.Count(err.Error(), flag); n != 1 {
			t.Errorf("%s is named %d times in:\n%v", flag, n, err)
		}
	}
}

func TestFuel(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]uint64{"1": 1, "1e9": 1e9, "18446744073709551615": 1<<64 - 1, "2.5e3": 2500} {
		var n uint64
		if err := fuel(in, &n); err != nil || n != want {
			t.Errorf("%s: %d, %v; want %d", in, n, err, want)
		}
	}
	for _, bad := range []string{"0", "-1", "1.5", "x", "1e30", "NaN", "Inf", "0e5"} {
		var n uint64
		if err := fuel(bad, &n); err == nil {
			t.Errorf("%s was read as %d", bad, n)
		}
	}
}

func TestPlainTakesNoControl(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a\x1b[31mb": "a\ufffd[31mb", "a\tb": "a b", "a\nb": "a\ufffdb", "\u202egnp.exe": "\ufffdgnp.exe", "é ✓": "é ✓", "a\u009bb": "a\ufffdb",
	} {
		if got := plain(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

// FuzzMounts looks for a mount or an output that panics, or that reads as a
// guest path that is not absolute.
func FuzzMounts(f *testing.F) {
	for _, s := range []string{"./a::/b:ro", `C:\x::/y`, "::/", ":::/:rw", "/out=x", "=", "s3://b/p/::/in"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := parseMapDir(s); err == nil && !strings.HasPrefix(m.Guest, "/") {
			t.Errorf("%q: guest path %q", s, m.Guest)
		}
		if o, err := parseOutput(s); err == nil {
			if !strings.HasPrefix(o.guest, "/") || (o.dir == "") == (o.remote == "") {
				t.Errorf("%q: %+v", s, o)
			}
			var opt limits.RunOption
			if err := addOutput(&opt, o); err != nil {
				t.Errorf("%q to no mounts: %v", s, err)
			}
		}
		_, _ = parseWorkDir(s)
	})
}
