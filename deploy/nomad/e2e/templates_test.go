package e2e

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"github.com/hashicorp/nomad/api"
)

// service is what nomadService gives a template, as far as ours look at it.
type service struct {
	Address string
	Port    int
}

// item is one of a Nomad variable. A name that the variable does not have gives
// an empty one, which a template's `if` takes for true: ask for its Value.
type item struct{ Value string }

func (i item) String() string               { return i.Value }
func (i item) MarshalJSON() ([]byte, error) { return json.Marshal(i.Value) }

// render executes a task's template with variables and services of our own.
func render(t *testing.T, tmpl *api.Template, vars map[string]string, services map[string][]service) string {
	t.Helper()
	items := map[string]item{}
	for name, value := range vars {
		items[name] = item{value}
	}
	funcs := template.FuncMap{
		"nomadVar":     func(string) map[string]item { return items },
		"nomadService": func(name string) []service { return services[name] },
		"env":          func(name string) string { return "/" + strings.ToLower(name) },
		"toJSON": func(v any) (string, error) {
			data, err := json.Marshal(v)
			return string(data), err
		},
	}
	parsed, err := template.New(*tmpl.DestPath).Option("missingkey=zero").Funcs(funcs).Parse(*tmpl.EmbeddedTmpl)
	if err != nil {
		t.Fatalf("%s: %v", *tmpl.DestPath, err)
	}
	var out strings.Builder
	if err := parsed.Execute(&out, vars); err != nil {
		t.Fatalf("%s: %v", *tmpl.DestPath, err)
	}
	return out.String()
}

func find(t *testing.T, task *api.Task, dest string) *api.Template {
	t.Helper()
	for _, tmpl := range task.Templates {
		if *tmpl.DestPath == dest {
			return tmpl
		}
	}
	t.Fatalf("task %s has no template %s", task.Name, dest)
	return nil
}

// Every name that a job file gives a worker must be a setting: a worker
// refuses to start with another in its file, and does not see another in its
// environment.
func TestSettingsExist(t *testing.T) {
	docs, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	known := func(cell string) bool { return strings.Contains(string(docs), "| `"+cell+"` |") }
	all := map[string]string{
		"s3_access_key": "a", "s3_secret_key": "b", "nats_user": "u", "nats_password": "p", "nats_creds": "c",
		"nats_ca": "ca", "nats_cert": "cert", "nats_key": "key", "secrets": "x: y",
	}
	n := 0
	for name, file := range map[string]string{"worker.nomad.hcl": "secrets/worker.yaml", "queue.nomad.hcl": "secrets/queue.yaml"} {
		g := mustParse(t, name).TaskGroups[0]
		task := g.Tasks[0]
		for name := range task.Env {
			if strings.HasPrefix(name, "BOXFLEET_") {
				n++
				if !known(name) {
					t.Errorf("%s: %s is no setting's variable", *g.Name, name)
				}
			}
		}
		for _, m := range regexp.MustCompile(`(?m)^([a-z0-9-]+):`).FindAllStringSubmatch(render(t, find(t, task, file), all, nil), -1) {
			n++
			if !known(m[1]) {
				t.Errorf("%s: %s is no setting", *g.Name, m[1])
			}
		}
	}
	if n < 25 {
		t.Errorf("only %d settings were looked at", n)
	}
}

func TestWorkerTemplates(t *testing.T) {
	task := mustParse(t, "worker.nomad.hcl", "s3_endpoint=").TaskGroups[0].Tasks[0]

	servers := render(t, find(t, task, "local/servers.env"), nil, map[string][]service{
		"boxfleet-nats": {{"10.0.0.1", 4222}, {"10.0.0.2", 4223}}, "boxfleet-s3": {{"127.0.0.1", 9000}},
	})
	if want := "BOXFLEET_NATS=tls://10.0.0.1:4222,tls://10.0.0.2:4223\nBOXFLEET_S3_ENDPOINT=http://127.0.0.1:9000\n"; strings.TrimSpace(servers) != strings.TrimSpace(want) {
		t.Errorf("servers:\n%s\nwant\n%s", servers, want)
	}

	// What is not set leaves no line behind; a password keeps its quotes.
	file := render(t, find(t, task, "secrets/worker.yaml"), map[string]string{"s3_access_key": "k", "s3_secret_key": `a"b: #c`, "nats_user": "w", "nats_password": "pw"}, nil)
	for _, want := range []string{`s3-secret-key: "a\"b: #c"`, `nats-user: "w"`} {
		if !strings.Contains(file, want+"\n") {
			t.Errorf("no line %s in\n%s", want, file)
		}
	}
	for _, not := range []string{"nats-creds", "nats-ca", "secrets-file", "no value"} {
		if strings.Contains(file, not) {
			t.Errorf("%s in\n%s", not, file)
		}
	}
}

func TestDispatchContext(t *testing.T) {
	task := mustParse(t, "dispatch.nomad.hcl").TaskGroups[0].Tasks[0]
	for _, vars := range []map[string]string{
		{"nats_url": "tls://a:1", "nats_creds": "x", "nats_ca": "y", "s3_endpoint": "https://s", "s3_access_key": "k", "s3_secret_key": `q"`},
		{"nats_url": "nats://a:1", "nats_user": "u", "nats_password": `p"`, "s3_endpoint": "http://s", "s3_access_key": "k", "s3_secret_key": "s", "s3_bucket": "b"},
	} {
		text := render(t, find(t, task, "secrets/context.json"), vars, nil)
		var c struct {
			NATS map[string]string `json:"nats"`
			S3   map[string]string `json:"s3"`
		}
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if c.NATS["url"] != vars["nats_url"] || c.NATS["password"] != vars["nats_password"] || c.S3["secret_key"] != vars["s3_secret_key"] || c.S3["bucket"] == "" {
			t.Errorf("context %+v of %v", c, vars)
		}
	}
}
