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
		"regexMatch":   func(pattern, text string) (bool, error) { return regexp.MatchString(pattern, text) },
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
	for name, file := range map[string]string{"worker.nomad.hcl": "secrets/worker.yaml", "queue.nomad.hcl": "secrets/queue.yaml", "gate.nomad.hcl": "secrets/gate.yaml"} {
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
	if n < 33 {
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

// A gate always presents credentials, of a directory with nothing else in it.
func TestGateTemplates(t *testing.T) {
	task := mustParse(t, "gate.nomad.hcl").TaskGroups[0].Tasks[0]
	servers := render(t, find(t, task, "local/servers.env"), nil, map[string][]service{"boxfleet-nats": {{"10.0.0.1", 4222}, {"10.0.0.2", 4223}}})
	if strings.TrimSpace(servers) != "BOXFLEET_NATS=tls://10.0.0.1:4222,tls://10.0.0.2:4223" {
		t.Errorf("servers: %s", servers)
	}
	for _, tt := range []struct {
		vars map[string]string
		want string
	}{
		{map[string]string{"nats_user": "u"}, "nats-creds: /nomad_secrets_dir/nats/gate.creds"},
		{map[string]string{"nats_creds": "c", "nats_ca": "a", "nats_user": "u"}, "nats-creds: /nomad_secrets_dir/nats/gate.creds nats-ca: /nomad_secrets_dir/nats/ca.pem"},
	} {
		if got := strings.Join(strings.Fields(render(t, find(t, task, "secrets/gate.yaml"), tt.vars, nil)), " "); got != tt.want {
			t.Errorf("of %v:\n%s\nwant\n%s", tt.vars, got, tt.want)
		}
	}
	if got := render(t, find(t, task, "secrets/nats/gate.creds"), map[string]string{"nats_creds": "the file\n"}, nil); got != "the file\n" {
		t.Errorf("credentials %q", got)
	}
}

// A server never runs without the accounts that the job's variables ask for:
// what it would include instead is not there.
func TestServerAccounts(t *testing.T) {
	const users, authority = "accounts { FLEET { users = [{user: u, password: p}] } }\n", "# Made by submit admin\noperator: eyJ0eXAi\n"
	for _, tt := range []struct {
		authority  string
		vars       map[string]string
		conf, text string // what nats.conf includes; what accounts.conf is, where it is included
	}{
		{"false", map[string]string{"accounts": users}, "include ./accounts.conf", users},
		{"false", map[string]string{"nats_accounts": authority}, "include ./item-accounts-of-", ""},
		{"true", map[string]string{"nats_accounts": authority, "accounts": users}, "include ./accounts.conf", authority},
		{"true", map[string]string{"accounts": users}, "include ./item-nats_accounts-of-", ""},
		{"true", map[string]string{"nats_accounts": users}, "include ./item-nats_accounts-of-", ""},
		{"true", map[string]string{"nats_accounts": "# operator: none\n"}, "include ./item-nats_accounts-of-", ""},
	} {
		task := mustParse(t, "nats.nomad.hcl", "server=nats-1", "authority="+tt.authority).TaskGroups[0].Tasks[0]
		conf := render(t, find(t, task, "secrets/nats.conf"), tt.vars, nil)
		includes := regexp.MustCompile(`(?m)^\s*include .*$`).FindAllString(conf, -1)
		if len(includes) != 1 || !strings.HasPrefix(strings.TrimSpace(includes[0]), tt.conf) {
			t.Errorf("authority=%s with %v includes %q, want %s", tt.authority, tt.vars, includes, tt.conf)
		}
		if text := render(t, find(t, task, "secrets/accounts.conf"), tt.vars, nil); tt.text != "" && text != tt.text {
			t.Errorf("authority=%s with %v: accounts.conf is %q", tt.authority, tt.vars, text)
		}
	}
}
