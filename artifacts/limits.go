package artifacts

import (
	"fmt"
)

// Limits bound a directory that is staged, collected or uploaded. Zero is the
// default of [Limits.WithDefaults], never "unlimited".
type Limits struct {
	Bytes int64 // all files together
	Files int   // files and explicit directories
	Depth int   // segments of the longest path
}

// WithDefaults fills in 10 GiB, 100,000 files and 64 levels.
func (l Limits) WithDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = 10 << 30
	}
	if l.Files == 0 {
		l.Files = 100_000
	}
	if l.Depth == 0 {
		l.Depth = 64
	}
	return l
}

// tally counts towards limits and refuses what goes over, saying what.
type tally struct {
	limits Limits
	bytes  int64
	files  int
}

func (t *tally) add(rel string, size int64) error {
	if size < 0 {
		return fmt.Errorf("file %q: %w: size %d", rel, ErrInvalid, size)
	}
	if n := depth(rel); n > t.limits.Depth {
		return fmt.Errorf("file %q: %w: %d levels deep where %d are allowed", rel, ErrTooLarge, n, t.limits.Depth)
	}
	if t.files++; t.files > t.limits.Files {
		return fmt.Errorf("file %q: %w: more than %d files", rel, ErrTooLarge, t.limits.Files)
	}
	// Subtract on the trusted side: sizes of a hostile document may overflow.
	if size > t.limits.Bytes-t.bytes {
		return fmt.Errorf("file %q: %w: %d bytes more than the %d so far exceed %d", rel, ErrTooLarge, size, t.bytes, t.limits.Bytes)
	}
	t.bytes += size
	return nil
}
