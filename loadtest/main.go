// Command loadtest measures a fleet: how many jobs a second, what a job costs,
// and where its time goes. It checks every result as well.
//
// Without --context it starts a fleet of its own in a scratch directory, with
// the worker binary beside it, and stops it at the end.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are the command line.
type options struct {
	profile    string
	context    string
	jobs       int
	warm       int
	slots      int
	syncAlways bool
	split      bool
	tool       string
	jsonFile   string
	data       string
	profileCPU string
	tenants    int
	noWorker   bool // the profile starts workers itself
}

const usage = `Usage: loadtest PROFILE [flags]

Profiles:
  burst    submit --jobs at once, wait for all: throughput, CPU per job
  single   submit --jobs one after the other: latency of one job alone
  memory   resident memory of a worker at rest, and after --jobs
  soak     --jobs through one worker in rounds: what grows over time fails
  scale    1,000 to --jobs queued jobs of --tenants: what a job costs as the
           queue grows

Flags:
`

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	fs := flag.NewFlagSet("loadtest", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { _, _ = io.WriteString(stderr, usage); fs.PrintDefaults() }
	fs.StringVar(&o.context, "context", "", "fleet to load; without it one is started")
	fs.IntVar(&o.jobs, "jobs", 10_000, "jobs to submit")
	fs.IntVar(&o.warm, "warm", 200, "jobs before the measurement begins")
	fs.IntVar(&o.slots, "slots", 0, "slots of the worker that is started; 0 is its default")
	fs.BoolVar(&o.syncAlways, "sync-always", false, "let the queue sync every write")
	fs.BoolVar(&o.split, "split", false, "run the servers and the worker as two processes, and measure the worker alone")
	fs.StringVar(&o.tool, "tool", "noop", "what a job runs: noop (50 bytes), c250k (a noop of 250 KB), or the path of a module")
	fs.StringVar(&o.jsonFile, "json", "", "file for the report as JSON")
	fs.StringVar(&o.data, "data", "", "directory of the fleet that is started; default a temporary one")
	fs.StringVar(&o.profileCPU, "cpuprofile", "", "file for a CPU profile of the worker during the measurement")
	fs.IntVar(&o.tenants, "tenants", 1000, "tenants of the scale profile")
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		fs.Usage()
		return 2
	}
	o.profile = args[0]
	if err := fs.Parse(args[1:]); err != nil {
		return 2
	}
	o.split = o.split || o.profile == "memory" || o.profile == "soak"
	o.noWorker = o.profile == "scale"
	if o.context != "" && (o.profile == "soak" || o.profile == "scale") {
		_, _ = fmt.Fprintf(stderr, "loadtest: %s looks into processes: it needs a fleet of its own, without --context\n", o.profile)
		return 2
	}
	profile, ok := profiles[o.profile]
	if !ok || fs.NArg() > 0 || o.jobs < 1 {
		_, _ = fmt.Fprintf(stderr, "loadtest: profile %q with arguments %q is not known; profiles: burst, single, memory, soak, scale\n", o.profile, fs.Args())
		return 2
	}
	if o.tenants < 1 {
		_, _ = fmt.Fprintf(stderr, "loadtest: --tenants %d; at least 1\n", o.tenants)
		return 2
	}
	report, err := measure(ctx, o, profile, stderr)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "loadtest: %v\n", err)
		return 1
	}
	report.print(stdout)
	if o.jsonFile != "" {
		data, err := json.MarshalIndent(report, "", "  ")
		if err == nil {
			err = os.WriteFile(o.jsonFile, append(data, '\n'), 0o644)
		}
		if err != nil {
			_, _ = fmt.Fprintf(stderr, "loadtest: write the report: %v\n", err)
			return 1
		}
	}
	if report.Wrong > 0 || len(report.Grew) > 0 {
		return 1
	}
	return 0
}

// measure runs one profile against the fleet the options name.
func measure(ctx context.Context, o options, profile profileFunc, stderr io.Writer) (r *report, err error) {
	f, err := openFleet(ctx, o, stderr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if err := f.push(ctx, o.tool); err != nil {
		return nil, err
	}
	started := time.Now()
	r, err = profile(ctx, f, o)
	if err != nil {
		return nil, err
	}
	r.Profile, r.Tool, r.Took = o.profile, o.tool, time.Since(started).Seconds()
	return r, nil
}
