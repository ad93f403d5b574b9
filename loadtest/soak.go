package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/jobs"
	"boxfleet/limits"
)

// soakRounds is how often a soak rests to look at the worker.
const soakRounds = 20

// soakSample is what a worker holds between two rounds.
type soakSample struct {
	Jobs       int   `json:"jobs"` // so far
	Heap       int64 `json:"heap_bytes"`
	Resident   int64 `json:"resident_bytes"`
	Goroutines int   `json:"goroutines"`
	FDs        int   `json:"fds"`
	Files      int   `json:"scratch_files"`
	Queued     int   `json:"queued"`
	// RecordBytes is the size of the status bucket by the records it holds:
	// the bucket itself grows until the oldest are too old.
	RecordBytes int64   `json:"bytes_per_record"`
	Rate        float64 `json:"jobs_per_s"`
}

// soak runs many jobs through one worker, a tenth of them with files, and
// looks between the rounds whether anything is left of them.
func soak(ctx context.Context, t *target, o options) (*report, error) {
	tree, err := t.smallTree(ctx)
	if err != nil {
		return nil, err
	}
	t.files = func(n int) *limits.RunOption {
		if n%10 != 0 {
			return nil
		}
		return &limits.RunOption{
			WorkDir: &limits.Mount{Mode: limits.Scratch},
			MapDirs: []limits.Mount{{Source: tree, Guest: "/in"}, {Source: tree, Guest: "/rw", Mode: limits.ReadWrite}},
		}
	}
	r := newReport(o.jobs)
	for i := range soakRounds {
		n := o.jobs*(i+1)/soakRounds - o.jobs*i/soakRounds
		if n == 0 {
			continue
		}
		start := time.Now()
		if _, err := t.submitAll(ctx, n, r.add); err != nil {
			return nil, err
		}
		took := time.Since(start)
		s, err := t.sample(ctx)
		if err != nil {
			return nil, err
		}
		s.Jobs, s.Rate = o.jobs*(i+1)/soakRounds, float64(n)/took.Seconds()
		r.Soak = append(r.Soak, s)
	}
	if o.jobs >= leastSoak {
		r.Grew = grew(r.Soak)
	}
	return r, nil
}

// leastSoak is the fewest jobs a judgement is passed on: fewer show how a
// worker warms up.
const leastSoak = 20_000

// grew compares the first third of the samples after the first, which warms
// everything up, with the last third, by their medians.
func grew(samples []soakSample) (what []string) {
	if len(samples) < 4 {
		return nil
	}
	samples = samples[1:]
	third := max(1, len(samples)/3)
	first, last := samples[:third], samples[len(samples)-third:]
	for _, c := range []struct {
		name  string
		value func(soakSample) int64
		ratio float64 // allowed
		slack int64   // and so much more, for what comes and goes
	}{
		{"heap after collection (bytes)", func(s soakSample) int64 { return s.Heap }, 1.10, 2 << 20},
		{"resident memory (bytes)", func(s soakSample) int64 { return s.Resident }, 1.15, 8 << 20},
		{"goroutines", func(s soakSample) int64 { return int64(s.Goroutines) }, 1, 4},
		{"descriptors", func(s soakSample) int64 { return int64(s.FDs) }, 1, 4},
		{"files in the scratch directory", func(s soakSample) int64 { return int64(s.Files) }, 1, 0},
		{"messages in the queue", func(s soakSample) int64 { return int64(s.Queued) }, 1, 0},
		{"bytes of a record in the status bucket", func(s soakSample) int64 { return s.RecordBytes }, 1.10, 16},
	} {
		was, is := median(first, c.value), median(last, c.value)
		if float64(is) > float64(was)*c.ratio+float64(c.slack) {
			what = append(what, fmt.Sprintf("%s: from %d to %d", c.name, was, is))
		}
	}
	return what
}

func median(samples []soakSample, value func(soakSample) int64) int64 {
	var list []int64
	for _, s := range samples {
		list = append(list, value(s))
	}
	slices.SortFunc(list, cmp.Compare[int64])
	return list[len(list)/2]
}

// sample waits until the worker has nothing to do and looks at it.
func (t *target) sample(ctx context.Context) (s soakSample, err error) {
	js, err := jetstream.New(t.nc)
	if err != nil {
		return s, err
	}
	for end := time.Now().Add(10 * time.Second); ; {
		stream, err := js.Stream(ctx, jobs.StreamJobs)
		if err != nil {
			return s, err
		}
		// The last acks are under way when the last results are known.
		s.Queued = int(stream.CachedInfo().State.Msgs)
		if s.Queued == 0 || time.Now().After(end) {
			break
		}
		if !pause(ctx, 20*time.Millisecond) {
			return s, context.Cause(ctx)
		}
	}
	status, err := js.Stream(ctx, "KV_"+jobs.BucketStatus)
	if err != nil {
		return s, err
	}
	if st := status.CachedInfo().State; st.Msgs > 0 {
		s.RecordBytes = int64(st.Bytes / st.Msgs)
	}
	if s.Heap, err = t.debugNumber(ctx, "/debug/pprof/heap?debug=1&gc=1", "# HeapAlloc = "); err != nil {
		return s, err
	}
	goroutines, err := t.debugNumber(ctx, "/debug/pprof/goroutine?debug=1", "goroutine profile: total ")
	if err != nil {
		return s, err
	}
	s.Goroutines = int(goroutines)
	u := t.usage()
	s.Resident, s.FDs = u.Resident, u.FDs
	err = filepath.WalkDir(t.scratch(), func(_ string, _ fs.DirEntry, err error) error {
		if err == nil {
			s.Files++
		}
		return nil //nolint:nilerr // what vanishes meanwhile is not left
	})
	return s, err
}

// debugNumber reads the number after a word on one of the worker's debug pages.
func (t *target) debugNumber(ctx context.Context, page, word string) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.http+page, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), word); ok {
			return strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
		}
	}
	return 0, fmt.Errorf("the worker's %s says nothing about %q: %w", page, word, cmp.Or(lines.Err(), fs.ErrNotExist))
}

func printSoak(p func(string, ...any), samples []soakSample) {
	if len(samples) == 0 {
		return
	}
	p("  %9s %9s %9s %11s %5s %6s %7s %8s %8s\n", "jobs", "heap MB", "RSS MB", "goroutines", "fds", "files", "queued", "B/record", "jobs/s")
	for _, s := range samples {
		p("  %9d %9.2f %9.1f %11d %5d %6d %7d %8d %8.0f\n", s.Jobs, float64(s.Heap)/1e6, float64(s.Resident)/1e6, s.Goroutines, s.FDs, s.Files, s.Queued, s.RecordBytes, s.Rate)
	}
}
