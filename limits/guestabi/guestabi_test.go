package guestabi_test

import (
	"slices"
	"strings"
	"testing"

	"boxfleet/limits/guestabi"
	"boxfleet/limits/metering"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		module, name string
		kind         metering.Kind
		want         string // part of the reason; "" when the import is given
	}{
		{"wasi_snapshot_preview1", "fd_write", metering.KindFunc, ""},
		{"wasi_snapshot_preview1", "sock_accept", metering.KindFunc, ""},
		{"wasi_snapshot_preview1", "sock_open", metering.KindFunc, "no such function"},
		{"wasi_unstable", "fd_write", metering.KindFunc, "before snapshot preview 1"},
		{"env", "emscripten_notify_memory_growth", metering.KindFunc, "STANDALONE_WASM"},
		{"env", "memory", metering.KindMemory, "memory cannot be imported"},
		{"wasi", "thread-spawn", metering.KindFunc, "no threads"},
		{"wasi:http/types@0.2.0", "[constructor]fields", metering.KindFunc, ""},
		{"wasi:http/types@0.2.9", "[method]fields.append", metering.KindFunc, ""},
		{"wasi:io/poll@0.2.17", "poll", metering.KindFunc, ""},
		{"wasi:io/poll@0.2.31", "poll", metering.KindFunc, ""},
		{"wasi:io/poll@0.2.32", "poll", metering.KindFunc, "version 0.2.32"},
		{"wasi:io/poll@0.2.99999999999999999999", "poll", metering.KindFunc, "is not one of"},
		{"wasi:io/poll@0.2.3", "pol", metering.KindFunc, "no such function"},
		{"wasi:io/poll@0.2.3", "", metering.KindFunc, "no such function"},
		{"wasi:io/poll@0.2.3", "poll", metering.KindGlobal, "global cannot be imported"},
		{"wasi:http/types@0.3.0", "x", metering.KindFunc, "WASI 0.3"},
		{"wasi:http/types@0.2", "x", metering.KindFunc, "version 0.2 "},
		{"wasi:http/types@0.2.01", "x", metering.KindFunc, "version 0.2.01"},
		{"wasi:http/types@0.2.0-rc-1", "x", metering.KindFunc, "version 0.2.0-rc-1"},
		{"wasi:http/types", "x", metering.KindFunc, "needs a version"},
		{"wasi:keyvalue/store@0.2.0", "x", metering.KindFunc, "no host gives this interface"},
		{"boxfleet_meter", "meter", metering.KindFunc, "no host gives this module"},
		{"", "", metering.KindFunc, "no host gives this module"},
	} {
		err := guestabi.Check(metering.Import{Module: tc.module, Name: tc.name, Kind: tc.kind})
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s.%s: refused: %v", tc.module, tc.name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s.%s: got %v, want a reason with %q", tc.module, tc.name, err, tc.want)
		}
	}
}

func TestRefusedKeepsOrderAndNamesAll(t *testing.T) {
	t.Parallel()
	imports := []metering.Import{
		{Module: "env", Name: "b"}, {Module: guestabi.Preview1, Name: "fd_read"}, {Module: "env", Name: "a"},
	}
	var names []string
	for _, e := range guestabi.Refused(imports) {
		names = append(names, e.Name)
	}
	if want := []string{"b", "a"}; !slices.Equal(names, want) {
		t.Errorf("refused %v, want %v", names, want)
	}
	if got, want := guestabi.Modules(imports), []string{"env", guestabi.Preview1}; !slices.Equal(got, want) {
		t.Errorf("modules %v, want %v", got, want)
	}
}

// TestInterfacesAreWhole counts what tools of the field import: of wasi:http
// 0.2 a client needs 24 functions of types and handle, and the list is the
// whole interface.
func TestInterfacesAreWhole(t *testing.T) {
	t.Parallel()
	counts := map[string]int{}
	for _, name := range guestabi.Interfaces() {
		for f, signature := range guestabi.Functions(name) {
			counts[name]++
			if !strings.HasPrefix(signature, "(") || !strings.Contains(signature, ") -> (") || !strings.HasSuffix(signature, ")") {
				t.Errorf("%s %s has signature %q", name, f, signature)
			}
		}
	}
	for name, want := range map[string]int{
		"wasi:http/types": 62, "wasi:http/outgoing-handler": 1, "wasi:io/poll": 4, "wasi:io/error": 2, "wasi:io/streams": 17,
		"wasi:clocks/monotonic-clock": 4, "wasi:clocks/wall-clock": 2, "wasi:random/random": 2, "wasi:random/insecure": 2, "wasi:random/insecure-seed": 1,
		"wasi:cli/environment": 3, "wasi:cli/exit": 2, "wasi:filesystem/types": 31, "wasi:filesystem/preopens": 1, "wasi:sockets/tcp": 29,
	} {
		if counts[name] != want {
			t.Errorf("%s has %d functions, want %d", name, counts[name], want)
		}
	}
	if guestabi.Functions("wasi:keyvalue/store") != nil {
		t.Error("what nobody gives has functions")
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version string
		fits    bool
		reason  string
	}{
		{"0.2.0", true, ""}, {"0.2.9", true, ""}, {"0.2.31", true, ""}, {"0.2.32", false, "0.2.0 to 0.2.31"},
		{"", false, "needs a version"}, {"0.1.0", false, "0.1.0"}, {"0.3.0", false, "WASI 0.3"}, {"0.3.0-rc-2025-09-16", false, "WASI 0.3"},
		{"0.2.0-rc-2023-11-10", false, "rc"}, {"0.2.3+build", false, "build"}, {"0.2.-1", false, "-1"}, {"0.2.+1", false, "+1"},
		{"0.2. 1", false, "0.2. 1"}, {"1.0.0", false, "1.0.0"}, {"0.2.3@0.2.3", false, "@"},
	} {
		if guestabi.Compatible(c.version) != c.fits {
			t.Errorf("%q: compatible is %v", c.version, !c.fits)
		}
		if !c.fits && !strings.Contains(guestabi.VersionReason(c.version), c.reason) {
			t.Errorf("%q: %q does not say %q", c.version, guestabi.VersionReason(c.version), c.reason)
		}
	}
	if !guestabi.NewerPatch("0.2.12", "0.2.9") || guestabi.NewerPatch("0.2.9", "0.2.12") || guestabi.NewerPatch("0.2.9", "0.2.9") {
		t.Error("0.2.12 is newer than 0.2.9")
	}
}

// TestLongNames: the longest names that a module can have make no long errors.
func TestLongNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("\x00", 1<<20)
	err := guestabi.Check(metering.Import{Module: long, Name: long, Kind: metering.KindFunc})
	if err == nil || len(err.Error()) > 4000 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}
