package jobs

import (
	"fmt"
	"slices"
)

// spans is a set of numbers from 0, kept as half-open intervals [from, to)
// that are sorted and neither touch nor overlap.
type spans [][2]int

// add gives the set with [from, to) in it.
func (s spans) add(from, to int) spans {
	if from >= to {
		return s
	}
	// The first interval that ends at or after from, and the first that begins
	// after to: all between them melt into one.
	lo, _ := slices.BinarySearchFunc(s, from, func(i [2]int, n int) int { return i[1] - n })
	hi, _ := slices.BinarySearchFunc(s, to+1, func(i [2]int, n int) int { return i[0] - n })
	if lo < hi {
		from, to = min(from, s[lo][0]), max(to, s[hi-1][1])
	}
	return slices.Concat(s[:lo], spans{{from, to}}, s[hi:])
}

// has tells whether n is in the set.
func (s spans) has(n int) bool {
	i, found := slices.BinarySearchFunc(s, n, func(i [2]int, n int) int {
		switch {
		case i[1] <= n:
			return -1
		case i[0] > n:
			return 1
		}
		return 0
	})
	return found && i < len(s)
}

// covers tells whether all of [from, to) is in the set.
func (s spans) covers(from, to int) bool {
	if from >= to {
		return true
	}
	i, _ := slices.BinarySearchFunc(s, from+1, func(i [2]int, n int) int { return i[1] - n })
	return i < len(s) && s[i][0] <= from && to <= s[i][1]
}

// size is how many numbers the set has.
func (s spans) size() int {
	n := 0
	for _, i := range s {
		n += i[1] - i[0]
	}
	return n
}

// check tells whether s is such a set at all, for one that was read.
func (s spans) check() error {
	last := -1
	for _, i := range s {
		if i[0] <= last || i[0] >= i[1] {
			return fmt.Errorf("the intervals %v are not sorted or overlap", i)
		}
		last = i[1]
	}
	return nil
}
