package guestabi

import (
	_ "embed"
	"maps"
	"slices"
	"strings"
)

// The functions of the WASI 0.2 interfaces that a host gives, lowered to core
// functions as the canonical ABI prescribes (component-model,
// CanonicalABI.md, "Flattening"). The list was made from the WIT files of
// WASI 0.2.12 by component tools, not by hand: an interface a line, and below
// it each function with its core signature.
//
//go:embed wasi02.txt
var wasi02 string

// interfaces maps the names of interfaces, without version, to their functions
// and these to core signatures.
var interfaces = parseInterfaces(wasi02)

func parseInterfaces(list string) map[string]map[string]string {
	all := map[string]map[string]string{}
	var current map[string]string
	for line := range strings.Lines(list) {
		line = strings.TrimSuffix(line, "\n")
		if function, ok := strings.CutPrefix(line, "\t"); ok {
			name, signature, _ := strings.Cut(function, " ")
			current[name] = signature
			continue
		}
		current = map[string]string{}
		all[line] = current
	}
	return all
}

// Interfaces lists the WASI 0.2 interfaces that are given, sorted.
func Interfaces() []string {
	return slices.Sorted(maps.Keys(interfaces))
}

// Functions gives the functions of an interface (named without version) with
// their core signatures, such as "(i32 i64) -> (i32)"; nil if it is not given.
func Functions(name string) map[string]string {
	return maps.Clone(interfaces[name])
}
