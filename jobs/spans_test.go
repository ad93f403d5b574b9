package jobs

import (
	"math/rand/v2"
	"testing"
)

// TestSpansLikeASet holds spans to a plain set, for random intervals.
func TestSpansLikeASet(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		const most = 60
		var s spans
		var set [most]bool
		for range r.IntN(40) {
			from := r.IntN(most)
			to := from + r.IntN(min(9, most-from+1))
			s = s.add(from, to)
			for i := from; i < to; i++ {
				set[i] = true
			}
			if err := s.check(); err != nil {
				t.Fatalf("after adding [%d, %d): %v in %v", from, to, err, s)
			}
		}
		n := 0
		for i, in := range set {
			if s.has(i) != in {
				t.Fatalf("%v has %d: %v, want %v", s, i, s.has(i), in)
			}
			if in {
				n++
			}
		}
		if s.size() != n {
			t.Fatalf("%v has %d numbers, want %d", s, s.size(), n)
		}
		for range 20 {
			from := r.IntN(most)
			to := from + r.IntN(most-from+1)
			want := true
			for i := from; i < to; i++ {
				want = want && set[i]
			}
			if got := s.covers(from, to); got != want {
				t.Fatalf("%v covers [%d, %d): %v, want %v", s, from, to, got, want)
			}
		}
	}
}

func TestSpansCheck(t *testing.T) {
	t.Parallel()
	for _, bad := range []spans{{{0, 0}}, {{3, 2}}, {{0, 2}, {2, 3}}, {{4, 5}, {1, 2}}, {{-5, 2}}} {
		if bad.check() == nil {
			t.Errorf("%v is taken for sorted and disjoint", bad)
		}
	}
}
