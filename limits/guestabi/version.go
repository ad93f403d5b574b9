package guestabi

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxPatch is the last version 0.2.x that is taken: 0.2.0 to 0.2.MaxPatch are
// one to a host. Each version in use takes host modules of its own in a worker,
// so a guest must not be able to invent them without end. 0.2.12 is the newest
// published.
const MaxPatch = 31

// SplitVersion cuts "wasi:io/poll@0.2.3" into the interface and its version,
// which is "" if there is none.
func SplitVersion(module string) (name, version string) {
	name, version, _ = strings.Cut(module, "@")
	return name, version
}

// Compatible tells whether a version is 0.2.x with x up to MaxPatch. Patch
// versions of WASI 0.2 only add, so one host serves all.
func Compatible(version string) bool {
	_, ok := patch(version)
	return ok
}

func patch(version string) (uint64, bool) {
	digits, ok := strings.CutPrefix(version, "0.2.")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 8)
	return n, err == nil && n <= MaxPatch && strconv.FormatUint(n, 10) == digits
}

// NewerPatch tells whether version a is newer than b, where both are
// Compatible.
func NewerPatch(a, b string) bool {
	x, _ := patch(a)
	y, _ := patch(b)
	return x > y
}

// VersionReason says why a version is not Compatible.
func VersionReason(version string) string {
	switch {
	case version == "":
		return "an interface of WASI needs a version, such as 0.2.0"
	case strings.HasPrefix(version, "0.3."):
		return fmt.Sprintf("version %s is WASI 0.3, with asynchronous calls; build it for 0.2", version)
	}
	return fmt.Sprintf("version %s is not one of 0.2.0 to 0.2.%d", version, MaxPatch)
}
