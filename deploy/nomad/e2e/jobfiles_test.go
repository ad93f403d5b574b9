package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/hashicorp/nomad/jobspec2"
)

// parse reads a job file as `nomad job run -var-file ... -var ...` does, and
// fails for a variable that the file does not know.
func parse(t *testing.T, file string, vars ...string) (*api.Job, error) {
	t.Helper()
	path := filepath.Join("..", file)
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return jobspec2.ParseWithConfig(&jobspec2.ParseConfig{
		Path: path, Body: body, ArgVars: vars, Strict: true,
		VarFiles: []string{strings.TrimSuffix(path, ".nomad.hcl") + ".vars.hcl"},
	})
}

func mustParse(t *testing.T, file string, vars ...string) *api.Job {
	t.Helper()
	j, err := parse(t, file, vars...)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return j
}

// variants are the ways in which the README runs the files.
var variants = []struct {
	file string
	vars []string
	id   string
}{
	{"worker.nomad.hcl", nil, "boxfleet-worker"},
	{"worker.nomad.hcl", []string{"driver=raw_exec", "worker_url=", "worker_path=/opt/boxfleet/bin/worker", "cache_volume=", "cache_dir=/srv/boxfleet/cache"}, "boxfleet-worker"},
	{"worker.nomad.hcl", []string{"driver=raw_exec", "user=", "uid=-1", "gid=-1", "cache_volume=", "autoscale=true", "canaries=0"}, "boxfleet-worker"},
	{"queue.nomad.hcl", nil, "boxfleet-queue"},
	{"queue.nomad.hcl", []string{"driver=raw_exec", "worker_url=", "worker_path=/opt/boxfleet/bin/worker"}, "boxfleet-queue"},
	{"gate.nomad.hcl", nil, "boxfleet-gate"},
	{"gate.nomad.hcl", []string{"driver=raw_exec", "worker_url=", "worker_path=/opt/boxfleet/bin/worker"}, "boxfleet-gate"},
	{"gate.nomad.hcl", []string{"driver=raw_exec", "user=", "uid=-1", "gid=-1", "hardening=require", "canaries=0"}, "boxfleet-gate"},
	{"nats.nomad.hcl", []string{"server=nats-1"}, "boxfleet-nats-1"},
	{"nats.nomad.hcl", []string{"server=nats-1", "authority=true"}, "boxfleet-nats-1"},
	{"nats.nomad.hcl", []string{"server=nats-3", "driver=raw_exec", "data_dir=/srv/boxfleet/nats"}, "boxfleet-nats-3"},
	{"s3.nomad.hcl", nil, "boxfleet-s3"},
	{"otel.nomad.hcl", nil, "boxfleet-otel"},
	{"dispatch.nomad.hcl", nil, "boxfleet-batch"},
	{"dispatch.nomad.hcl", []string{"driver=raw_exec", "submit_url=", "submit_path=/opt/boxfleet/bin/submit"}, "boxfleet-batch"},
}

// A file that this test does not know is not checked by anything.
func TestEveryFileIsChecked(t *testing.T) {
	files, err := filepath.Glob("../*.nomad.hcl")
	if err != nil || len(files) == 0 {
		t.Fatal("no job files found", err)
	}
	for _, f := range files {
		if !slices.ContainsFunc(variants, func(v struct {
			file string
			vars []string
			id   string
		}) bool {
			return v.file == filepath.Base(f)
		}) {
			t.Errorf("%s has no line in the table of variants", f)
		}
	}
}

func TestJobFiles(t *testing.T) {
	for _, v := range variants {
		t.Run(v.file+" "+strings.Join(v.vars, " "), func(t *testing.T) {
			j := mustParse(t, v.file, v.vars...)
			if *j.ID != v.id || *j.Name != v.id {
				t.Errorf("job %s named %s, want %s", *j.ID, *j.Name, v.id)
			}
			// Nomad 1.11.0 leaves groups running when a job of several is stopped.
			if len(j.TaskGroups) != 1 {
				t.Errorf("%d groups; give each a job of its own", len(j.TaskGroups))
			}
			for _, g := range j.TaskGroups {
				for _, task := range g.Tasks {
					checkTask(t, j, g, task)
				}
			}
		})
	}
}

func checkTask(t *testing.T, j *api.Job, g *api.TaskGroup, task *api.Task) {
	t.Helper()
	what := *g.Name + "/" + task.Name
	if task.Driver != "exec" && task.Driver != "raw_exec" {
		t.Errorf("%s: driver %q", what, task.Driver)
	}
	if cmd, _ := task.Config["command"].(string); cmd == "" {
		t.Errorf("%s: no command", what)
	}
	if task.Driver == "raw_exec" && (len(task.VolumeMounts) > 0 || len(g.Volumes) > 0) {
		t.Errorf("%s: raw_exec mounts no volumes", what)
	}
	if task.Resources == nil || task.Resources.MemoryMB == nil || task.Resources.CPU == nil {
		t.Errorf("%s: no resources", what)
	}
	for _, a := range task.Artifacts {
		if a.GetterOptions["checksum"] == "" {
			t.Errorf("%s: artifact %s is taken without a checksum", what, *a.GetterSource)
		}
	}
	if *j.Type != "batch" && len(g.Services) == 0 {
		t.Errorf("%s: nobody looks at its health", what)
	}
	for _, s := range g.Services {
		if s.Provider != "nomad" {
			t.Errorf("%s: service %s by provider %q; not every cluster has another", what, s.Name, s.Provider)
		}
	}
	for _, tmpl := range task.Templates {
		if strings.HasPrefix(*tmpl.DestPath, "secrets/") && !(tmpl.Envvars != nil && *tmpl.Envvars) {
			if tmpl.Perms == nil || *tmpl.Perms != "0600" {
				t.Errorf("%s: others may read %s", what, *tmpl.DestPath)
			}
		}
		if strings.Contains(*tmpl.EmbeddedTmpl, "nomadVar") && !strings.HasPrefix(*tmpl.DestPath, "secrets/") {
			t.Errorf("%s: %s holds what a Nomad variable keeps, and lies outside secrets/", what, *tmpl.DestPath)
		}
	}
}

// A wrong value is refused by name, not by a job that never starts.
func TestRefusedVariables(t *testing.T) {
	tests := []struct{ file, set, want string }{
		{"worker.nomad.hcl", "driver=docker", "exec or raw_exec"},
		{"worker.nomad.hcl", "slotts=3", "slotts"},
		{"gate.nomad.hcl", "driver=docker", "exec or raw_exec"},
		{"gate.nomad.hcl", "s3_endpoint=https://s3", "s3_endpoint"},
		{"nats.nomad.hcl", "server=nats-9", "does not identify an element"},
		{"nats.nomad.hcl", `servers={a={node="n",address="x",client_port=1,cluster_port=2,monitor_port=3},b={node="n",address="x",client_port=1,cluster_port=2,monitor_port=3}}`, "1, 3 or 5"},
	}
	for _, tt := range tests {
		j, err := parse(t, tt.file, tt.set)
		if err == nil {
			t.Errorf("%s with %s: accepted as %s", tt.file, tt.set, *j.ID)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s with %s: %v; want %q in it", tt.file, tt.set, err, tt.want)
		}
	}
}

// The worker's stop must fit into its kill_timeout, and that into what
// agent/client.hcl lets tasks have. The parts are those of docs/operating.md.
func TestKillTimeout(t *testing.T) {
	for _, grace := range []string{"5", "20", "120"} {
		j := mustParse(t, "worker.nomad.hcl", "grace_seconds="+grace)
		task := j.TaskGroups[0].Tasks[0]
		g, err := time.ParseDuration(task.Env["BOXFLEET_GRACE"])
		if err != nil {
			t.Fatal(err)
		}
		const settle, background, engine, telemetry, http = 15 * time.Second, 10 * time.Second, 10 * time.Second, 5 * time.Second, 2 * time.Second
		if sum := g + settle + background + engine + telemetry + http; *task.KillTimeout <= sum {
			t.Errorf("grace %s: killed after %s, the stop may take %s", g, *task.KillTimeout, sum)
		}
		if task.KillSignal != "SIGTERM" {
			t.Errorf("kill_signal %q: the worker drains at SIGTERM", task.KillSignal)
		}
	}
	gate := mustParse(t, "gate.nomad.hcl").TaskGroups[0].Tasks[0]
	const read, ask, audit, side = 5 * time.Second, 5 * time.Second, 5 * time.Second, 2 * time.Second
	if sum := read + ask + audit + side; *gate.KillTimeout <= sum || gate.KillSignal != "SIGTERM" {
		t.Errorf("a gate gets %s and is killed after %s, its stop may take %s", gate.KillSignal, *gate.KillTimeout, sum)
	}
	client, err := os.ReadFile("../agent/client.hcl")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(client), `max_kill_timeout = "5m"`) {
		t.Error("agent/client.hcl does not raise max_kill_timeout: Nomad caps every kill_timeout at 30 s")
	}
}

// What takes part in a fleet many times over is replaced one by one.
func TestUpdateAndDrain(t *testing.T) {
	for _, file := range []string{"worker.nomad.hcl", "gate.nomad.hcl"} {
		t.Run(file, func(t *testing.T) { checkUpdate(t, file) })
	}
}

func checkUpdate(t *testing.T, file string) {
	g := mustParse(t, file).TaskGroups[0]
	u := g.Update
	if *u.MaxParallel != 1 || *u.Canary != 1 || !*u.AutoRevert || !*u.AutoPromote || *u.HealthCheck != "checks" {
		t.Errorf("update: %+v", u)
	}
	if *g.Migrate.MaxParallel != 1 || *g.Migrate.HealthCheck != "checks" {
		t.Errorf("migrate: %+v", g.Migrate)
	}
	if !*g.ReschedulePolicy.Unlimited || *g.RestartPolicy.Mode != "fail" {
		t.Error("what cannot run on a node must be tried on others, for ever")
	}
	if len(g.Spreads) != 1 || g.Spreads[0].Attribute != "${node.unique.id}" {
		t.Errorf("spread: %+v", g.Spreads)
	}
	// Without canaries nothing is there to promote, and Nomad refuses to.
	if u := mustParse(t, file, "canaries=0").TaskGroups[0].Update; *u.AutoPromote {
		t.Error("auto_promote without canaries")
	}
	paths := map[string]bool{}
	for _, s := range g.Services {
		for _, c := range s.Checks {
			paths[c.Path] = true
		}
	}
	if !paths["/readyz"] || !paths["/healthz"] {
		t.Errorf("checks of %v, want /readyz and /healthz", paths)
	}
}

// One gate away must leave another.
func TestGatesAreTwo(t *testing.T) {
	g := mustParse(t, "gate.nomad.hcl").TaskGroups[0]
	if *g.Count < 2 || g.Tasks[0].Config["args"].([]any)[0] != "gate" {
		t.Errorf("%d times %v", *g.Count, g.Tasks[0].Config["args"])
	}
	for _, tmpl := range g.Tasks[0].Templates {
		if strings.HasPrefix(*tmpl.DestPath, "secrets/") && (tmpl.Splay == nil || *tmpl.Splay < time.Minute) {
			t.Errorf("a new %s restarts all gates at once", *tmpl.DestPath)
		}
	}
}

func TestScaling(t *testing.T) {
	j := mustParse(t, "worker.nomad.hcl", "autoscale=true", "jobs_per_worker=24", "max_count=7")
	s := j.TaskGroups[0].Scaling
	if !*s.Enabled || *s.Min != 0 || *s.Max != 7 {
		t.Errorf("scaling: enabled %v, %d to %d", *s.Enabled, *s.Min, *s.Max)
	}
	check := s.Policy["check"].([]map[string]any)[0]["queue"].([]map[string]any)[0]
	query := check["query"].(string)
	if !strings.Contains(query, `boxfleet_queue_jobs{state=~"pending|running"}`) || !strings.HasSuffix(query, " / 24)") {
		t.Errorf("query %s", query)
	}
	// Scaled to zero, somebody else must know the queue's length.
	g := mustParse(t, "queue.nomad.hcl").TaskGroups[0]
	if *g.Count != 1 || g.Scaling != nil || g.Tasks[0].Config["args"].([]any)[0] != "queue-metrics" {
		t.Errorf("the job of group %s does not stay to count the queue", *g.Name)
	}
}

// A client that mounts the cache for its workers must leave room for the
// arithmetic of memory: what jobs may declare is never more than what is left.
func TestMemoryOfAWorker(t *testing.T) {
	for _, vars := range [][]string{{"memory_mb=4096", "slots=8"}, {}, {"memory_mb=8192", "compilers=2"}, {"memory_mb=16384", "module_memory_mb=2048"}} {
		task := mustParse(t, "worker.nomad.hcl", vars...).TaskGroups[0].Tasks[0]
		mib := func(name string) (n int) {
			text, ok := strings.CutSuffix(task.Env[name], "MiB")
			if !ok {
				t.Fatalf("%s=%q", name, task.Env[name])
			}
			for _, c := range text {
				if c < '0' || c > '9' {
					t.Fatalf("%v: %s=%q is no whole number of MiB", vars, name, task.Env[name])
				}
				n = 10*n + int(c-'0')
			}
			return n
		}
		budget, modules, total := mib("BOXFLEET_MEMORY_BUDGET"), mib("BOXFLEET_MODULE_MEMORY"), *task.Resources.MemoryMB
		if budget < 512 || budget+modules+550+256 > total {
			t.Errorf("%v: %d MiB for jobs and %d for modules, of %d", vars, budget, modules, total)
		}
		slots, err := strconv.Atoi(task.Env["BOXFLEET_SLOTS"])
		if err != nil {
			t.Fatal(err)
		}
		if each := mib("BOXFLEET_DEFAULT_MEMORY"); slots*each > budget {
			t.Errorf("%v: %d slots of %d MiB, but %d MiB for all jobs", vars, slots, each, budget)
		}
		if limit := mib("GOMEMLIMIT"); limit >= total {
			t.Errorf("%v: GOMEMLIMIT %d of %d", vars, limit, total)
		}
	}
}
