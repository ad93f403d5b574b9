package jobs

import (
	"cmp"
	"strconv"
	"strings"
)

// CompareVersions orders versions as Semantic Versioning 2.0.0 does for those
// that follow it, and by their numbers and text otherwise.
func CompareVersions(a, b string) int {
	coreA, preA, hasPreA := strings.Cut(strings.TrimPrefix(a, "v"), "-")
	coreB, preB, hasPreB := strings.Cut(strings.TrimPrefix(b, "v"), "-")
	if c := compareDotted(coreA, coreB); c != 0 {
		return c
	}
	switch {
	case hasPreA && !hasPreB:
		return -1
	case !hasPreA && hasPreB:
		return 1
	}
	return cmp.Or(compareDotted(preA, preB), cmp.Compare(a, b))
}

func compareDotted(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		switch {
		case i >= len(as):
			return -1
		case i >= len(bs):
			return 1
		}
		x, errX := strconv.ParseUint(as[i], 10, 64)
		y, errY := strconv.ParseUint(bs[i], 10, 64)
		c := 0
		switch {
		case errX == nil && errY == nil:
			c = cmp.Compare(x, y)
		case errX == nil:
			c = -1 // numbers come before words
		case errY == nil:
			c = 1
		default:
			c = cmp.Compare(as[i], bs[i])
		}
		if c != 0 {
			return c
		}
	}
	return 0
}
