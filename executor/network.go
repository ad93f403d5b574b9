package executor

import (
	"context"
	"strings"
	"time"

	"boxfleet/executor/meter"
	"boxfleet/executor/outbound"
	"boxfleet/executor/wasihttp"
	"boxfleet/executor/wasip1"
	"boxfleet/jobs"
	"boxfleet/limits/netpolicy"
)

// network is a run's way out. It has a host only when the module imports one;
// without an allowed host everything it asks for is denied, before any name is
// resolved.
type network struct {
	policy *netpolicy.Policy
	host   *wasihttp.Host
	closed bool
}

// newNetwork reads the job's rules. The operator's own setting is the only
// thing that lifts the block of private addresses.
func (e *Executor) newNetwork(job *jobs.Job) (*network, error) {
	o := &job.Options
	if len(o.AllowedOutboundHosts) == 0 {
		return &network{}, nil
	}
	policy, err := netpolicy.Parse(o.AllowedOutboundHosts, o.BlockURL, o.BlockNetworks)
	if err != nil {
		return nil, &refusal{jobs.Invalid, err}
	}
	return &network{policy: policy.WithOptions(netpolicy.Options{AllowPrivate: e.cfg.AllowPrivateNetworks})}, nil
}

// open makes the host of WASI 0.2 for a module that imports one, and puts it
// into the guest's context. Apart from the network it shows the guest what the
// host of WASI 0.1 shows it: a program may use both.
func (r *run) openNetwork(ctx context.Context, m *meter.Meter, wasi wasip1.Config) context.Context {
	if !r.mod.network {
		return ctx
	}
	cfg := wasihttp.Config{
		Policy: r.net.policy, Limits: outbound.DefaultLimits(), Interrupter: m, FS: wasi.FS,
		Program: wasihttp.Program{Args: wasi.Args, Stdin: wasi.Stdin, Stdout: wasi.Stdout, Stderr: wasi.Stderr},
	}
	for _, v := range wasi.Env {
		name, value, _ := strings.Cut(v, "=")
		cfg.Program.Env = append(cfg.Program.Env, [2]string{name, value})
	}
	cfg.Limits.Requests, cfg.Limits.Bytes = int64(r.grant.OutboundRequests), int64(r.grant.OutboundBytes)
	cfg.Limits.SafeMethods = r.safeMethods
	if r.a.Job.Options.Deterministic {
		clock := wasip1.FixedClock(deterministicTime)
		cfg.Wall = func() time.Time { return time.Unix(0, int64(clock.Wall())).UTC() }
		cfg.Monotonic = clock.Monotonic
		cfg.Rand = wasip1.SeededRand(deterministicSeed)
	}
	r.net.host = wasihttp.New(cfg)
	return r.net.host.Context(ctx)
}

// close ends every request. It may be called again.
func (n *network) close() {
	if n.host != nil && !n.closed {
		n.closed = true
		n.host.Close()
	}
}

// denials lists what the guest asked for and did not get. They are complete
// after close: a request may meet its limit when the guest no longer looks.
func (n *network) denials() []jobs.Denial {
	if n.host == nil {
		return nil
	}
	var out []jobs.Denial
	for _, d := range n.host.Denials() {
		out = append(out, jobs.Denial{What: "network", Target: d.Target, Rule: d.Rule + ": " + d.Reason, Count: d.Count})
	}
	return out
}
