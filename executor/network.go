package executor

import (
	"context"

	"github.com/tetratelabs/wazero"

	"boxfleet/executor/meter"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// network is a run's way out; nil when the job may reach nothing.
type network struct{}

func registerNetwork(context.Context, wazero.Runtime) error { return nil }

func (e *Executor) newNetwork(job *jobs.Job, g limits.Grant) (*network, error) {
	if len(job.Options.AllowedOutboundHosts) > 0 {
		return nil, refuse(jobs.Invalid, "allowed_outbound_hosts: this worker does not enforce it yet")
	}
	return nil, nil
}

func (n *network) context(ctx context.Context, _ *meter.Meter) context.Context { return ctx }
func (n *network) denials() []jobs.Denial                                      { return nil }
