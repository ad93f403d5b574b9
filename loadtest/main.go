// Command loadtest measures a fleet: how many jobs a second, what a job costs,
// where its time goes, and what happens when parts of the fleet fail. It checks
// every result as well: a fleet that is fast and wrong fails the run.
//
// Without --context it starts a fleet of its own in a scratch directory, with
// the worker binary beside it, and stops it at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"boxfleet/loadtest/report"
)

// version is set when a release is built.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are the command line.
type options struct {
	profile    string
	context    string
	jobs       int
	rate       float64
	duration   time.Duration
	even       bool
	seed       uint64
	warm       int
	workers    int
	slots      int
	syncAlways bool
	split      bool
	tool       string
	rounds     int
	wait       time.Duration
	tools      string
	toolsDir   string
	tenants    int
	jsonFile   string
	htmlFile   string
	data       string
	profileCPU string
}

// patience is how long the last results of an open loop are waited for.
func (o options) patience() time.Duration { return max(time.Minute, o.duration) }

const usage = `Usage: loadtest PROFILE [flags]
       loadtest compare A.json B.json [--html FILE] [--fail-over RATIO]
       loadtest page REPORT.json FILE.html

Profiles:
  cold     --jobs modules that no fleet has seen, each run once with nothing
           cached, from memory, from disk, and by another worker
  steady   --rate jobs/s for --duration, whatever the fleet does; latency from
           when each job was due
  burst    --jobs at once, wait for all: throughput, CPU per job
  single   --jobs one after the other: latency of one job alone
  mix      the toolbox's tools on real input, at --rate, or --jobs at once
  scale    fleets of 1 to --workers processes with 1 to --slots slots each
  faults   a steady load while workers are killed and frozen and links are cut
  stall    small jobs one after the other: alone, beside a busy process, and
           beside the compilation of a large module
  memory   resident memory of a worker at rest, and after --jobs
  soak     --jobs through one worker in rounds: what grows over time fails
  backlog  1,000 to --jobs queued jobs of --tenants: what a job costs as the
           queue grows
  compare  two reports side by side
  page     a report that was kept as JSON, as a web page

Every profile checks every result. Exit code 1 says that something was wrong.

Of compare:
  --fail-over RATIO
        exit with 1 when a figure is worse by more, such as 1.2

Flags:
`

func flags(o *options, stderr io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet("loadtest", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { _, _ = io.WriteString(stderr, usage); fs.PrintDefaults() }
	fs.StringVar(&o.context, "context", "", "fleet to load: `file` or directory of its context; without it one is started")
	fs.IntVar(&o.jobs, "jobs", 0, "jobs to submit, or modules of the cold profile; 0 is the profile's own number")
	fs.Float64Var(&o.rate, "rate", 0, "jobs a second that are due in an open loop; 0 is the profile's own")
	fs.DurationVar(&o.duration, "duration", 30*time.Second, "how long an open loop goes on")
	fs.BoolVar(&o.even, "even", false, "let jobs be due in even steps instead of at random")
	fs.Uint64Var(&o.seed, "seed", 1, "of the arrivals and of the faults")
	fs.IntVar(&o.warm, "warm", 200, "jobs before the measurement begins")
	fs.IntVar(&o.workers, "workers", 0, "worker processes of the fleet that is started; 0 is the profile's own number")
	fs.IntVar(&o.slots, "slots", 0, "slots of each; 0 is the worker's default")
	fs.BoolVar(&o.syncAlways, "sync-always", false, "let the queue sync every write")
	fs.BoolVar(&o.split, "split", false, "run the servers and the worker as two processes")
	fs.StringVar(&o.tool, "tool", "", "what a job runs: noop (50 bytes), work (computes, waits, repeats a text), code (250 KB of code), big (20 MB of code), c250k (a noop of 250 KB), or the `path` of a module; default by profile")
	fs.IntVar(&o.rounds, "rounds", 0, "rounds that a job of the work tool computes; a million are about a millisecond")
	fs.DurationVar(&o.wait, "wait", -1, "how long a job of the work tool waits without using a core; default by profile")
	fs.StringVar(&o.tools, "tools", "", "tools of the mix, with commas; default all it knows")
	fs.StringVar(&o.toolsDir, "tools-dir", "toolbox/dist", "directory of their modules")
	fs.IntVar(&o.tenants, "tenants", 1000, "tenants of the backlog profile")
	fs.StringVar(&o.jsonFile, "json", "", "`file` for the report as JSON")
	fs.StringVar(&o.htmlFile, "html", "", "`file` for the report as a web page that needs nothing else")
	fs.StringVar(&o.data, "data", "", "directory of the fleet that is started, which is kept; default a temporary one")
	fs.StringVar(&o.profileCPU, "cpuprofile", "", "`file` for a CPU profile of the worker during a burst")
	return fs
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	fs := flags(&o, stderr)
	if len(args) == 0 || slices.Contains([]string{"-h", "-help", "--help", "help"}, args[0]) {
		fs.Usage()
		return 2
	}
	switch o.profile = args[0]; o.profile {
	case "compare":
		return compare(args[1:], stdout, stderr)
	case "page":
		return page(args[1:], stderr)
	case busyCommand:
		return busy(ctx, stdout)
	}
	if err := fs.Parse(args[1:]); err != nil {
		return 2
	}
	p, err := o.complete(fs.Args())
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "loadtest: %v\n", err)
		return 2
	}
	r, err := measure(ctx, o, p, stderr)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "loadtest: %v\n", err)
		return 1
	}
	r.Args = loading(args[1:])
	// Files first: whoever reads the terminal's text may leave early, and end
	// this process by that.
	defer r.Print(stdout)
	if o.jsonFile != "" {
		err = r.Save(o.jsonFile)
	}
	if o.htmlFile != "" {
		err = errors.Join(err, r.SavePage(o.htmlFile))
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "loadtest: %v\n", err)
		return 1
	}
	if !r.Good() {
		return 1
	}
	return 0
}

// loading gives the arguments that decide about the load: all but the report's
// files.
func loading(args []string) (list []string) {
	for i := 0; i < len(args); i++ {
		name, _, whole := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		switch {
		case !strings.HasPrefix(args[i], "-") || name != "json" && name != "html":
			list = append(list, args[i])
		case !whole:
			i++ // its value
		}
	}
	return list
}

// complete checks the options and fills in what the profile has of its own.
func (o *options) complete(rest []string) (profile, error) {
	p, ok := profiles[o.profile]
	if !ok {
		return p, fmt.Errorf("profile %q is not known; profiles: %s", o.profile, strings.Join(profileNames(), ", "))
	}
	if len(rest) > 0 {
		return p, fmt.Errorf("%q is not understood; flags come after the profile and begin with --", rest)
	}
	for _, n := range []struct {
		flag  string
		value int
	}{{"jobs", o.jobs}, {"warm", o.warm}, {"workers", o.workers}, {"slots", o.slots}, {"rounds", o.rounds}} {
		if n.value < 0 {
			return p, fmt.Errorf("--%s %d is negative", n.flag, n.value)
		}
	}
	if o.tenants < 1 {
		return p, fmt.Errorf("--tenants %d; at least 1", o.tenants)
	}
	if !(o.rate >= 0 && o.rate <= 1e6) || o.duration <= 0 {
		return p, fmt.Errorf("--rate %g for --duration %s; write a rate of up to a million a second and a time above 0", o.rate, o.duration)
	}
	if o.context != "" && p.own {
		return p, fmt.Errorf("%s starts, stops and looks into processes: it needs a fleet of its own, without --context", o.profile)
	}
	if o.context != "" && o.workers > 0 {
		return p, errors.New("--workers is for a fleet that is started here, not for one named with --context")
	}
	if o.profile == "mix" && o.jobs > 0 && o.rate > 0 {
		return p, errors.New("--jobs runs a mix at once, --rate over time; give one")
	}
	p.fill(o)
	if o.rate > 0 && o.rate*o.duration.Seconds() > maxArrivals {
		return p, fmt.Errorf("--rate %g for --duration %s are %.0f jobs; at most %d", o.rate, o.duration, o.rate*o.duration.Seconds(), maxArrivals)
	}
	return p, nil
}

// maxArrivals bounds the jobs of one open loop: each is remembered.
const maxArrivals = 5_000_000

// measure runs one profile against the fleet the options name.
func measure(ctx context.Context, o options, p profile, stderr io.Writer) (r *report.Report, err error) {
	need := p.need
	need.split = need.split || o.split
	f, err := openFleet(ctx, o, need, stderr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	started := time.Now()
	r, err = p.run(ctx, f, o)
	if err != nil {
		return nil, err
	}
	r.Profile, r.Tool, r.Program = o.profile, filepath.Base(o.tool), version
	if o.profile == "mix" {
		r.Tool = "the toolbox"
	}
	r.Started, r.Took = started.UTC(), time.Since(started).Seconds()
	if o.context == "" {
		r.Workers, r.Slots = max(1, o.workers), o.slots
	}
	return r, nil
}
