package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"boxfleet/artifacts"
	"boxfleet/jobs"
)

// load submits jobs of several tenants for as long as the plan lasts, and at
// least so many as were asked for.
type load struct {
	f       *fleet
	watch   *watcher
	clients map[string]*jobs.Client
	tool    jobs.Tool
	inputs  []input
	tasks   *tasks

	all      []*task // accepted; read when run has returned
	accepted atomic.Int64
	refused  atomic.Int64 // submissions that had to be made again
}

// pushInputs stores the tool and the directories that jobs read.
func (l *load) pushInputs(ctx context.Context, rng *rand.Rand) error {
	d, err := l.f.store.PutBlobBytes(ctx, guestModule)
	if err != nil {
		return err
	}
	l.tool = jobs.Tool{Name: "chaos", Version: "1", Digest: d, Size: int64(len(guestModule))}
	for i := range 16 {
		in := input{data: make([]byte, 1+rng.IntN(16<<10))}
		for k := range in.data {
			in.data[k] = byte(rng.Uint32())
		}
		dir := filepath.Join(l.f.cfg.dir, fmt.Sprintf("input%d", i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "data"), in.data, 0o600); err != nil {
			return err
		}
		digest, _, err := l.f.store.PutTree(ctx, dir, artifacts.TreeOptions{})
		if err != nil {
			return err
		}
		in.source = string(digest)
		l.inputs = append(l.inputs, in)
	}
	return nil
}

// chunk is how many jobs of one tenant are submitted at once.
const chunk = 40

// backlog is how many jobs of a run may wait: enough that every fault meets
// some, and few enough that they do not take long after the last one.
func backlog(jobs int) int { return min(max(jobs/5, 2*chunk), 1200) }

// run submits until at least n jobs are accepted and over is closed.
func (l *load) run(ctx context.Context, n int, over <-chan struct{}) error {
	for {
		select {
		case <-over:
			if len(l.all) >= n {
				return nil
			}
		default:
		}
		if done, _ := l.watch.progress(); len(l.all)-done > backlog(n) {
			if !pause(ctx, 20*time.Millisecond) {
				return context.Cause(ctx)
			}
			continue
		}
		first := l.tasks.next()
		group := []*task{first}
		for len(group) < chunk {
			k := l.tasks.next()
			k.tenant = first.tenant
			group = append(group, k)
		}
		if err := l.submit(ctx, group); err != nil {
			return err
		}
		l.all = append(l.all, group...)
	}
}

// submit hands in jobs of one tenant until they are accepted: an error means
// that they may or may not be stored, and the same ids may be sent again.
func (l *load) submit(ctx context.Context, group []*task) error {
	for _, k := range group {
		l.watch.expect(k)
	}
	client := l.clients[group[0].tenant]
	for {
		stored := 0
		err := client.SubmitMany(ctx, func(yield func(jobs.JobWithContext, error) bool) {
			for _, k := range group {
				if !yield(jobs.JobWithContext{Ctx: ctx, Job: k.job(l.tool, l.inputs)}, nil) {
					return
				}
			}
		}, func(n, _ int) { stored += n })
		if err == nil && stored == len(group) {
			l.accepted.Add(int64(stored))
			return nil
		}
		if err == nil {
			return fmt.Errorf("%d jobs were submitted without an error, %d are said to be stored", len(group), stored)
		}
		l.refused.Add(1)
		l.f.log.Info("a submission failed, making it again", "error", err)
		if !pause(ctx, 100*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}
