package main

import (
	"bufio"
	"bytes"
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

	"boxfleet/jobs"
	"boxfleet/limits"
	"boxfleet/loadtest/report"
)

// soakRounds is how often a soak rests to look at the worker.
const soakRounds = 20

// soak runs many jobs through one worker, a tenth of them with files, and
// looks between the rounds whether anything is left of them.
func soak(ctx context.Context, t *target, o options) (*report.Report, error) {
	load, err := t.workload(ctx, o)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, name := range []string{"a", "b", "c"} {
		files[name] = bytes.Repeat([]byte(name), 1000)
	}
	tree, err := t.tree(ctx, files)
	if err != nil {
		return nil, err
	}
	if m, ok := load.(*moduleLoad); ok {
		m.options = func(n int, o *limits.RunOption) {
			if n%10 != 0 {
				return
			}
			o.WorkDir = &limits.Mount{Mode: limits.Scratch}
			o.MapDirs = []limits.Mount{{Source: tree, Guest: "/in"}, {Source: tree, Guest: "/rw", Mode: limits.ReadWrite}}
		}
	}
	rec := report.NewRecorder()
	a := newAccount(load, rec)
	r := rec.Report()
	for i := range soakRounds {
		from, to := o.jobs*i/soakRounds, o.jobs*(i+1)/soakRounds
		if from == to {
			continue
		}
		start := time.Now()
		if _, err := t.burstOf(ctx, a, from, to-from); err != nil {
			return nil, err
		}
		took := time.Since(start)
		s, err := t.sample(ctx)
		if err != nil {
			return nil, err
		}
		s.Jobs, s.Rate = to, float64(to-from)/took.Seconds()
		r.Soak = append(r.Soak, s)
	}
	a.close()
	if o.jobs >= leastSoak {
		r.Grew = grew(r.Soak)
	}
	return rec.Finish(), nil
}

// leastSoak is the fewest jobs a judgement is passed on: fewer show how a
// worker warms up.
const leastSoak = 20_000

// grew compares the first third of the samples after the first, which warms
// everything up, with the last third, by their medians.
func grew(samples []report.SoakSample) (what []string) {
	if len(samples) < 4 {
		return nil
	}
	samples = samples[1:]
	third := max(1, len(samples)/3)
	first, last := samples[:third], samples[len(samples)-third:]
	for _, c := range []struct {
		name  string
		value func(report.SoakSample) int64
		ratio float64 // allowed
		slack int64   // and so much more, for what comes and goes
	}{
		{"heap after collection (bytes)", func(s report.SoakSample) int64 { return s.Heap }, 1.10, 2 << 20},
		{"resident memory (bytes)", func(s report.SoakSample) int64 { return s.Resident }, 1.15, 8 << 20},
		{"goroutines", func(s report.SoakSample) int64 { return int64(s.Goroutines) }, 1, 4},
		{"descriptors", func(s report.SoakSample) int64 { return int64(s.FDs) }, 1, 4},
		{"files in the scratch directory", func(s report.SoakSample) int64 { return int64(s.Files) }, 1, 0},
		{"messages in the queue", func(s report.SoakSample) int64 { return int64(s.Queued) }, 1, 0},
		{"bytes of a record in the status bucket", func(s report.SoakSample) int64 { return s.RecordBytes }, 1.10, 16},
	} {
		was, is := median(first, c.value), median(last, c.value)
		if float64(is) > float64(was)*c.ratio+float64(c.slack) {
			what = append(what, fmt.Sprintf("%s: from %d to %d", c.name, was, is))
		}
	}
	return what
}

func median(samples []report.SoakSample, value func(report.SoakSample) int64) int64 {
	var list []int64
	for _, s := range samples {
		list = append(list, value(s))
	}
	slices.SortFunc(list, cmp.Compare[int64])
	return list[len(list)/2]
}

// sample waits until the worker has nothing to do and looks at it.
func (t *target) sample(ctx context.Context) (s report.SoakSample, err error) {
	if s.Queued, err = t.idle(ctx, 10*time.Second); err != nil {
		return s, err
	}
	status, err := t.js.Stream(ctx, "KV_"+jobs.BucketStatus)
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
	u := t.measured().usage()
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.measured().http+page, nil)
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
