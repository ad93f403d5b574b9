package gate_test

import (
	"context"
	"fmt"
	"testing"

	"boxfleet/internal/fleetauth"
	"boxfleet/internal/fleetauth/authtest"
	"boxfleet/internal/gate"
	"boxfleet/jobs"
)

// BenchmarkSubmit compares a thousand submissions through one gate with the
// same by an operator, message by message and as one atomic batch. Nothing runs
// the jobs.
func BenchmarkSubmit(b *testing.B) {
	s := authtest.Start(b)
	opNC, opJS := s.Connect(b, fleetauth.Grant{Role: fleetauth.Operator, User: "op"})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := (jobs.Topology{}).Ensure(ctx, opJS); err != nil {
		b.Fatal(err)
	}
	gateNC, _ := s.Connect(b, fleetauth.Grant{Role: fleetauth.Gate, User: "g"})
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- gate.New(gateNC, gate.Config{}).Run(ctx, func() { close(ready) }) }()
	<-ready
	nc, js := s.Connect(b, fleetauth.Grant{Role: fleetauth.Submitter, Tenant: "acme", User: "ci"})
	gated, err := jobs.NewClient(ctx, nc, js, "")
	if err != nil {
		b.Fatal(err)
	}
	direct, err := jobs.NewClient(ctx, opNC, opJS, "beta")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		client *jobs.Client
		chunk  int
	}{{"gate", gated, 1000}, {"direct", direct, 199}, {"atomic", direct, 1000}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				for from := 0; from < 1000; from += c.chunk {
					part := func(yield func(jobs.JobWithContext, error) bool) {
						for range min(c.chunk, 1000-from) {
							if !yield(jobs.JobWithContext{Ctx: ctx, Job: &jobs.Job{Tool: testTool}}, nil) {
								return
							}
						}
					}
					if err := c.client.SubmitMany(ctx, part, func(int, int) {}); err != nil {
						b.Fatal(fmt.Errorf("submit: %w", err))
					}
				}
			}
			b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "jobs/s")
		})
	}
	cancel()
	if err := <-ended; err != nil {
		b.Error(err)
	}
}
