package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"syscall"
	"time"

	"boxfleet/internal/faultproxy"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// poisonTimeout is longer than a poison job may live: each time it runs, its
// worker is killed.
const poisonTimeout = limits.Duration(2 * time.Minute)

// breaker carries out the plan and counts what really happened.
type breaker struct {
	f    *fleet
	load *load

	mu       sync.Mutex
	happened map[kind]int
	poisons  []*task
	errs     []error
}

func (b *breaker) count(k kind, n int) {
	b.mu.Lock()
	b.happened[k] += n
	b.mu.Unlock()
}

// run carries out the plan: each lane by itself, in order.
func (b *breaker) run(ctx context.Context, plan []event) {
	start := time.Now()
	var all sync.WaitGroup
	for _, kinds := range lanes {
		all.Go(func() {
			for _, e := range plan {
				if !in(kinds, e.Kind) {
					continue
				}
				if !pause(ctx, time.Until(start.Add(e.At))) {
					return
				}
				b.f.log.Info("fault", "kind", e.Kind, "target", e.Target, "for", e.For, "planned", e.At)
				if err := b.do(ctx, e); err != nil {
					b.mu.Lock()
					b.errs = append(b.errs, fmt.Errorf("%s: %w", e.Kind, err))
					b.mu.Unlock()
					return
				}
			}
		})
	}
	all.Wait()
}

func in(kinds []kind, k kind) bool {
	for _, x := range kinds {
		if x == k {
			return true
		}
	}
	return false
}

// do is one fault from its beginning to its end.
func (b *breaker) do(ctx context.Context, e event) error {
	switch e.Kind {
	case workerKill:
		b.f.workers[e.Target].kill(e.For)
		b.count(e.Kind, 1)
	case workerFreeze:
		return b.freeze(ctx, e)
	case natsKill, natsStop:
		return b.node(ctx, e)
	case natsCut, natsSilence, storeCut:
		b.link(ctx, e)
	case storeError, storeSlow, storeBroken, storeUnheard, storeShort:
		b.store(ctx, e)
	case diskFull:
		return b.disk(ctx, e)
	case poison:
		return b.poison(ctx, e)
	}
	return nil
}

func (b *breaker) freeze(ctx context.Context, e event) error {
	w := b.f.workers[e.Target]
	if w.signal(syscall.SIGSTOP) != nil {
		return nil // between two lives
	}
	frozen := w.exited()
	pause(ctx, e.For)
	select {
	case <-frozen: // another fault killed it meanwhile
		return nil
	default:
	}
	if err := w.signal(syscall.SIGCONT); err != nil {
		return err
	}
	b.count(e.Kind, 1)
	return nil
}

// node takes one NATS node away, and waits until the cluster is well again.
func (b *breaker) node(ctx context.Context, e event) error {
	n := b.f.queue.nodes[e.Target]
	if e.Kind == natsKill {
		if err := n.signal(syscall.SIGKILL); err != nil {
			return err
		}
		<-n.exited()
	} else {
		n.stop(20 * time.Second)
	}
	pause(ctx, e.For)
	if err := n.start(); err != nil {
		return err
	}
	if err := b.f.queue.healthy(ctx); err != nil {
		return err
	}
	b.count(e.Kind, 1)
	return nil
}

func (b *breaker) link(ctx context.Context, e event) {
	w := b.f.workers[e.Target]
	links := w.links[:]
	if e.Kind == storeCut {
		links = []*faultproxy.TCP{w.s3}
	}
	for _, l := range links {
		if e.Kind == natsSilence {
			l.Freeze()
		} else {
			l.Refuse(true)
			l.Cut()
		}
	}
	pause(ctx, e.For)
	for _, l := range links {
		l.Thaw()
		l.Refuse(false)
	}
	b.count(e.Kind, 1)
}

// store lets a share of the requests meet a fault.
func (b *breaker) store(ctx context.Context, e event) {
	rng := rand.New(rand.NewPCG(e.Seed, 0))
	share := 3 + rng.IntN(5) // one in so many
	f := faultproxy.Fault{Name: string(e.Kind), Match: func(*http.Request) bool { return rng.IntN(share) == 0 }}
	switch e.Kind {
	case storeError:
		f.Status, f.Code = http.StatusServiceUnavailable, "SlowDown"
	case storeSlow:
		f.Delay = 50*time.Millisecond + time.Duration(rng.IntN(400))*time.Millisecond
	case storeBroken:
		f.Cut = true
	case storeUnheard:
		f.CutResponse = true
	case storeShort:
		f.TruncateBody = true
	}
	proxy := b.f.broken
	before := proxy.Count(f.Name)
	proxy.Set(f)
	pause(ctx, e.For)
	// Workers that are down or cut off at the moment ask for nothing.
	for end := time.Now().Add(20 * time.Second); proxy.Count(f.Name) == before && time.Now().Before(end); {
		if !pause(ctx, 50*time.Millisecond) {
			break
		}
	}
	proxy.Set()
	proxy.Requests() // or the proxy remembers them for ever
	b.count(e.Kind, proxy.Count(f.Name)-before)
}

// disk fills the first worker's scratch disk until the worker says that it
// takes no jobs, and for the fault's time.
func (b *breaker) disk(ctx context.Context, e event) error {
	w := b.f.workers[e.Target]
	free, err := w.fillDisk(100 * time.Millisecond)
	if err != nil {
		return err
	}
	defer free()
	end := time.Now().Add(e.For)
	sick := false
	for time.Now().Before(end) || !sick && time.Now().Before(end.Add(20*time.Second)) {
		sick = sick || status(w.http+"/readyz") == http.StatusServiceUnavailable
		if !pause(ctx, 50*time.Millisecond) {
			break
		}
	}
	if sick {
		b.count(e.Kind, 1)
	}
	return nil
}

// poison submits a job that ends whoever runs it: see killPoisoned.
func (b *breaker) poison(ctx context.Context, _ event) error {
	b.mu.Lock()
	n := len(b.poisons)
	b.mu.Unlock()
	k := &task{id: fmt.Sprintf("%s-poison-%d", b.load.tasks.run, n), tenant: b.load.tasks.tenants[0], priority: jobs.High, poison: true}
	if err := b.load.submit(ctx, []*task{k}); err != nil {
		return err
	}
	b.mu.Lock()
	b.poisons = append(b.poisons, k)
	b.mu.Unlock()
	return nil
}

// killPoisoned kills the worker that was seen to run a poison job.
func (b *breaker) killPoisoned(name string) {
	for _, w := range b.f.workers {
		if w.name == name {
			b.f.log.Info("a poison job kills its worker", "worker", name)
			w.kill(300 * time.Millisecond)
			b.count(poison, 1)
		}
	}
}
