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
		{"wasi:http/types@0.3.0", "x", metering.KindFunc, "version 0.3.0"},
		{"wasi:http/types@0.2", "x", metering.KindFunc, "version 0.2 "},
		{"wasi:http/types@0.2.01", "x", metering.KindFunc, "version 0.2.01"},
		{"wasi:http/types@0.2.0-rc-1", "x", metering.KindFunc, "version 0.2.0-rc-1"},
		{"wasi:http/types", "x", metering.KindFunc, "needs a version"},
		{"wasi:sockets/tcp@0.2.0", "x", metering.KindFunc, "no host gives this interface"},
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
