package wasihttp

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"boxfleet/limits/guestabi"
)

// TestInterfaces holds what is served to the list that component tools make of
// the WIT files: every function of every interface, with its core signature.
func TestInterfaces(t *testing.T) {
	t.Parallel()
	if got, want := slices.Sorted(maps.Keys(interfaces)), guestabi.Interfaces(); !slices.Equal(got, want) {
		t.Errorf("served are %q, listed %q", got, want)
	}
	for name, functions := range interfaces {
		got := map[string]string{}
		for _, f := range functions {
			if got[f.name] != "" {
				t.Errorf("%s %s is there twice", name, f.name)
			}
			got[f.name] = types(f.params) + " -> " + types(f.results)
		}
		if want := guestabi.Functions(name); !maps.Equal(got, want) {
			t.Errorf("%s: served are\n%v\nlisted\n%v", name, got, want)
		}
	}
}

func types(list []byte) string {
	names := make([]string, len(list))
	for i, t := range list {
		names[i] = map[byte]string{i32: "i32", i64: "i64"}[t]
	}
	return "(" + strings.Join(names, " ") + ")"
}
