package permission

import (
	"fmt"
	"slices"
	"strings"
)

// Level is how much a tool may be trusted with, from None to Dangerous. The
// empty level means that nobody said.
type Level string

// The levels, by what a job of such a tool may be granted. Each includes those
// before it.
const (
	// None computes: arguments, standard input, plain environment variables
	// and empty scratch directories. It sees no file and no network.
	None Level = "none"
	// ReadOnly also reads: files staged read-only or as scratch, secrets, and
	// the network with safe methods (GET, HEAD, OPTIONS).
	ReadOnly Level = "read_only"
	// Write also changes things: rw mounts with their outputs, and every HTTP
	// method.
	Write Level = "write"
	// Execute also runs programs that come with the call: shells, interpreters,
	// and modules that nobody has described.
	Execute Level = "execute"
	// Dangerous needs the submitter's explicit consent with each job, and an
	// operator who permits it.
	Dangerous Level = "dangerous"
	// Forbidden never runs.
	Forbidden Level = "forbidden"
)

// Levels lists all, from the least.
var Levels = []Level{None, ReadOnly, Write, Execute, Dangerous, Forbidden}

// ParseLevel reads a level's name.
func ParseLevel(s string) (Level, error) {
	if l := Level(s); l.Known() {
		return l, nil
	}
	return "", fmt.Errorf("permission level %q: use one of %s", s, names(Levels))
}

// Known tells whether l is one of Levels.
func (l Level) Known() bool { return slices.Contains(Levels, l) }

// Above tells whether l stands above the ceiling c. A level that is not Known
// stands above all.
func (l Level) Above(c Level) bool {
	rank := slices.Index(Levels, l)
	return rank < 0 || rank > slices.Index(Levels, c)
}

// Tier is what an agent is let do with tools, whatever their level.
type Tier string

// The tiers. The empty tier means TierFull.
const (
	TierFull       Tier = "full"        // every level the other rules let through
	TierReadOnly   Tier = "read-only"   // tools of level none and read_only
	TierSearchOnly Tier = "search-only" // looks tools up and runs none
)

// Tiers lists all, from the most.
var Tiers = []Tier{TierFull, TierReadOnly, TierSearchOnly}

// ParseTier reads a tier's name.
func ParseTier(s string) (Tier, error) {
	if t := Tier(s); slices.Contains(Tiers, t) {
		return t, nil
	}
	return "", fmt.Errorf("tier %q: use one of %s", s, names(Tiers))
}

func names[T ~string](list []T) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return strings.Join(out, ", ")
}
