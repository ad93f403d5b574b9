package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log"
	"strings"
	"time"

	"boxfleet/artifacts"
	"boxfleet/internal/natstest"
	"boxfleet/jobs"
)

// echo is a handler that needs no sandbox.
type echo struct{}

func (echo) Run(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
	switch text := strings.Join(a.Job.Args, " "); text {
	case "crash":
		return nil, jobs.Permanent(errors.New("this worker has no echo"))
	default:
		return &jobs.Result{Outcome: jobs.Succeeded, Stdout: jobs.Text(text)}, nil
	}
}

var tool = jobs.Tool{Name: "echo", Version: "1.0.0", Digest: artifacts.DigestBytes([]byte("echo")), Size: 4}

// fleet starts a NATS server and a worker, and gives a client and what stops
// it all.
func fleet(ctx context.Context) (*jobs.Client, func()) {
	dir, remove, err := natstest.TempDir()
	must(err)
	srv, err := natstest.Open(dir)
	must(err)
	nc, js, err := jobs.Connect(ctx, jobs.ConnConfig{URL: srv.URL(), Wait: 10 * time.Second})
	must(err)
	worker, err := jobs.NewWorker(ctx, nc, js, echo{}, nil, jobs.WorkerConfig{Name: "w1", Slots: 2})
	must(err)
	run, drain := context.WithCancel(ctx)
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() { ended <- worker.Run(run, func() { close(ready) }) }()
	<-ready
	client, err := jobs.NewClient(ctx, nc, js, jobs.DefaultTenant)
	must(err)
	return client, func() {
		drain()
		must(<-ended)
		nc.Close()
		srv.Stop()
		remove()
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Submit a job and wait for its result.
func Example() {
	ctx := context.Background()
	client, stop := fleet(ctx)
	defer stop()

	waiter, err := client.NewWaiter("", "hello-1") // before submitting, to miss nothing
	must(err)
	defer waiter.Close()
	waiter.Expect("hello-1")
	_, err = client.Submit(ctx, &jobs.Job{ID: "hello-1", Tool: tool, Args: []string{"hello", "world"}})
	must(err)
	rec, err := waiter.Next(ctx)
	must(err)
	fmt.Printf("%s: %s by %s\n", rec.Result.Outcome, rec.Result.Stdout, rec.Result.Worker)
	// Output: succeeded: hello world by w1
}

// Submitting the same id again runs nothing twice.
func ExampleClient_Submit_twice() {
	ctx := context.Background()
	client, stop := fleet(ctx)
	defer stop()

	for range 2 {
		receipt, err := client.Submit(ctx, &jobs.Job{ID: "once", Tool: tool})
		must(err)
		fmt.Println(receipt.ID, "duplicate:", receipt.Duplicate)
	}
	// Output:
	// once duplicate: false
	// once duplicate: true
}

// Thousands of jobs travel in atomic batches.
func ExampleClient_SubmitMany() {
	ctx := context.Background()
	client, stop := fleet(ctx)
	defer stop()

	batch := jobs.NewID()
	waiter, err := client.NewWaiter(batch, "")
	must(err)
	defer waiter.Close()
	var all iter.Seq2[jobs.JobWithContext, error] = func(yield func(jobs.JobWithContext, error) bool) {
		for i := range 1500 {
			j := &jobs.Job{ID: fmt.Sprintf("b-%d", i), Batch: batch, Tool: tool}
			waiter.Expect(j.ID)
			if !yield(jobs.JobWithContext{Ctx: ctx, Job: j}, nil) {
				return
			}
		}
	}
	must(client.SubmitMany(ctx, all, func(n, _ int) { fmt.Println("stored", n) }))
	succeeded := 0
	for waiter.Left() > 0 {
		rec, err := waiter.Next(ctx)
		must(err)
		if rec.Result.Outcome == jobs.Succeeded {
			succeeded++
		}
	}
	fmt.Println("succeeded", succeeded)
	// Output:
	// stored 1000
	// stored 500
	// succeeded 1500
}

// A job that cannot be run is kept as a dead letter, with the reason.
func ExampleClient_DeadLetters() {
	ctx := context.Background()
	client, stop := fleet(ctx)
	defer stop()

	waiter, err := client.NewWaiter("", "bad-1")
	must(err)
	defer waiter.Close()
	waiter.Expect("bad-1")
	_, err = client.Submit(ctx, &jobs.Job{ID: "bad-1", Tool: tool, Args: []string{"crash"}})
	must(err)
	rec, err := waiter.Next(ctx)
	must(err)
	fmt.Println(rec.Result.Outcome)
	for letter, err := range client.DeadLetters(ctx) {
		must(err)
		fmt.Println(letter.Job, "of", letter.Tool+":", letter.Error)
	}
	// Output:
	// failed
	// bad-1 of echo@1.0.0: this worker has no echo
}

// A mistake is found before anything is sent, and names the field.
func ExampleJob_Validate() {
	j := &jobs.Job{V: jobs.WireVersion, ID: "a b", Tenant: "default", Priority: "urgent", Tool: tool}
	fmt.Println(j.Validate())
	// Output:
	// id: "a b" is not 1 to 64 letters, digits, - or _
	// priority: "urgent" is no priority; write high, normal or low
}

// What nobody classed is transient: a retry loses nothing.
func ExampleClassify() {
	err := errors.New("connection reset")
	fmt.Println(jobs.Classify(err), jobs.Classify(jobs.Permanent(err)), jobs.Classify(jobs.Unavailable(err)))
	// Output: transient permanent unavailable
}

// Versions are ordered as Semantic Versioning has it.
func ExampleCompareVersions() {
	fmt.Println(jobs.CompareVersions("1.10.0", "1.9.0"), jobs.CompareVersions("1.0.0-rc.1", "1.0.0"))
	// Output: 1 -1
}
