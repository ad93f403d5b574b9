package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"boxfleet/artifacts"
	"boxfleet/jobs"
	"boxfleet/limits"
	"boxfleet/limits/permission"
)

const pair = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,` +
	`"properties":{"name":{"type":"string","description":"A name"},"times":{"type":"integer","minimum":1}},"required":["name"]}`

func TestToolsAreListedWithTheirSchemaAndHints(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	reader := u.tool(echo, level("read_only"), schema(pair))
	writer := u.tool(echo, level("write"))
	fetcher := u.tool(echo, level("read_only"), imports("wasi:http/types@0.2.3"))
	u.tool(echo, level("dangerous"))
	u.tool(echo, level("forbidden"))
	s := u.server(func(c *Config) {
		c.Options.AllowedOutboundHosts = []string{"https://example.com"}
		c.WorkDir = &WorkDir{Dir: t.TempDir(), Mode: limits.ReadWrite}
	})
	for _, version := range versions {
		names, tools := s.connect(t, version).list()
		want := append([]string{searchName}, sorted(reader, writer, fetcher)...)
		if diff := cmp.Diff(want, names); diff != "" {
			t.Fatalf("tools of %s: %s", version, diff)
		}
		for _, c := range []struct {
			name                         string
			readOnly, destructive, world bool
		}{{reader, true, false, false}, {writer, false, true, false}, {fetcher, true, false, true}} {
			a := tools[c.name].Annotations
			if a.ReadOnlyHint != c.readOnly || *a.DestructiveHint != c.destructive || *a.OpenWorldHint != c.world {
				t.Errorf("hints of %+v: read-only %t, destructive %t, open world %t", c, a.ReadOnlyHint, *a.DestructiveHint, *a.OpenWorldHint)
			}
		}
		in := tools[reader].InputSchema.(map[string]any)
		properties := in["properties"].(map[string]any)
		if in["additionalProperties"] != false || properties["name"] == nil || properties["times"] == nil || properties["stdin"] == nil {
			t.Errorf("schema %v", in)
		}
		if plain := tools[writer].InputSchema.(map[string]any)["properties"].(map[string]any); plain["args"] == nil || plain["stdin"] == nil || len(plain) != 2 {
			t.Errorf("schema of a tool without one: %v", plain)
		}
		meta := tools[reader].Meta[metaTool].(map[string]any)
		if meta["version"] != "1.0.0" || meta["permission_level"] != "read_only" || !strings.HasPrefix(fmt.Sprint(meta["digest"]), "sha256:") {
			t.Errorf("meta %v", meta)
		}
	}
}

func sorted(names ...string) []string {
	slices.Sort(names)
	return names
}

func TestListIsPaginated(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	for range 7 {
		u.tool(echo)
	}
	s := u.server(func(c *Config) { c.PageSize = 3 })
	a := s.connect(t, versions[0])
	first, err := a.ListTools(t.Context(), nil)
	if err != nil || len(first.Tools) != 3 || first.NextCursor == "" {
		t.Fatalf("first page: %d tools, cursor %q, %v", len(first.Tools), first.NextCursor, err)
	}
	if names, _ := a.list(); len(names) != 8 {
		t.Errorf("%d tools in all, want 8", len(names))
	}
	if _, err := a.ListTools(t.Context(), &sdk.ListToolsParams{Cursor: "no cursor"}); err == nil {
		t.Error("a cursor of somebody's own is taken")
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	var result *jobs.Result
	tool := u.tool(func(context.Context, *jobs.Attempt) (*jobs.Result, error) { return result, nil })
	a := u.server().connect(t, versions[1])
	ended := func(o jobs.Outcome, why string) *jobs.Result {
		return &jobs.Result{Outcome: o, ExitCode: -1, Error: why}
	}
	for _, c := range []struct {
		name    string
		result  *jobs.Result
		isError bool
		parts   []string
		data    string // JSON of structuredContent
	}{
		{"text", done(0, "plain text\n", ""), false, []string{"plain text"}, ""},
		{"nothing", done(0, "", ""), false, []string{"wrote nothing and exited with 0"}, ""},
		{"an object", done(0, `{"b":1.50,"a":[12345678901234567890]}`, ""), false, []string{`{"b":1.50`}, `{"b":1.50,"a":[12345678901234567890]}`},
		{"two objects", done(0, "{\"a\":1}\n{\"a\":2}", ""), false, []string{`{"a":2}`}, ""},
		{"a list", done(0, `[1]`, ""), false, []string{`[1]`}, ""},
		{"an answer", done(0, `{"content":"all is well","is_error":false,"metadata":{"n":1}}`, ""), false, []string{"all is well"}, `{"content":"all is well","is_error":false,"metadata":{"n":1}}`},
		{"a failed answer", done(0, `{"content":"no such file","is_error":true}`, ""), true, []string{"no such file"}, `{"content":"no such file","is_error":true}`},
		{"the other spelling", done(0, `{"content":"no","error":true}`, ""), true, []string{"no"}, `{"content":"no","error":true}`},
		{"the Rust form", done(0, `Object {"content": String("bad \"path\""), "is_error": Bool(true)}`, ""), true, []string{`bad "path"`}, `{"content":"bad \"path\"","is_error":true,"metadata":null}`},
		{"an exit code", done(3, "some\n", "usage: x\n"), true, []string{"exited with code 3", "some", "standard error:\nusage: x"}, ""},
		{"denied", ended(jobs.Denied, "options.wasm_timeout: asked for 2h"), true, []string{"it was denied: options.wasm_timeout: asked for 2h"}, ""},
		{"timed out", ended(jobs.TimedOut, "ran longer than 1s"), true, []string{"outcome timed_out: ran longer than 1s"}, ""},
		{"out of fuel", ended(jobs.OutOfFuel, "spent"), true, []string{"outcome out_of_fuel: spent"}, ""},
		{"failed", ended(jobs.Failed, "no worker could"), true, []string{"The fleet failed", "no worker could"}, ""},
		{"invalid", ended(jobs.Invalid, "not a module"), true, []string{"cannot run here: not a module"}, ""},
		{"denials", &jobs.Result{Outcome: jobs.Succeeded, Stdout: jobs.Text("x"), Denials: []jobs.Denial{{What: "network", Target: "http://a/", Rule: "no host is allowed", Count: 2}}},
			false, []string{"Denied: network http://a/: no host is allowed (2 times)"}, ""},
		{"hidden text", done(0, "a\x1b[31mb\U000e0041\u202ec\r\nd", ""), false, []string{"a[31mbc\nd", "3 control or invisible characters", "link stdout"}, ""},
		{"hidden data", done(0, `{"a":"x\u001b\udb40\udc41y"}`, ""), false, nil, `{"a":"xy"}`},
		{"no text", done(0, "\xff\xfe", ""), false, []string{"\ufffd"}, ""},
	} {
		result = c.result
		r := a.call(tool, nil)
		wants(t, r, c.isError, c.parts...)
		data, err := json.Marshal(r.StructuredContent)
		if err != nil {
			t.Fatal(err)
		}
		if c.data == "" {
			c.data = "null"
		}
		if !sameJSON(t, string(data), c.data) {
			t.Errorf("%s: structured content %s, want %s", c.name, data, c.data)
		}
		meta, _ := r.Meta[metaResult].(map[string]any)
		if meta["outcome"] != string(c.result.Outcome) || meta["job"] == "" || meta["worker"] != "test" || meta["trace_id"] == "" {
			t.Errorf("%s: meta %v", c.name, meta)
		}
		if t.Failed() {
			t.Fatalf("%s: answer %s", c.name, text(r))
		}
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := errors.Join(json.Unmarshal([]byte(a), &x), json.Unmarshal([]byte(b), &y)); err != nil {
		t.Fatal(err)
	}
	return cmp.Equal(x, y)
}

func TestArgumentsReachTheToolAsItsSchemaSays(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo, schema(pair))
	plain := u.tool(echo)
	own := u.tool(echo, schema(`{"properties":{"stdin":{"type":"boolean"}}}`))
	a := u.server().connect(t, versions[1])
	wants(t, a.call(tool, args{"times": 2.0, "name": "-x", "stdin": "in"}), false, "--name=-x\n--times=2\nin")
	wants(t, a.call(plain, args{"args": []string{"a", "--b=c d"}, "stdin": "in"}), false, "a\n--b=c d\nin")
	wants(t, a.call(plain, nil), false, "wrote nothing")
	wants(t, a.call(own, args{"stdin": true}), false, "--stdin")
	for _, c := range []struct {
		tool string
		in   any
		want string
	}{
		{tool, nil, "missing property"},
		{tool, args{"nome": "x"}, `did you mean "name"?`},
		{tool, args{"name": "x", "times": 0}, "input.times"},
		{tool, args{"name": "x", "stdin": 5}, "input.stdin"},
		{tool, args{"name": "a\x00b"}, "NUL"},
		{plain, args{"args": "one string"}, "input.args"},
		{plain, args{"argv": []string{}}, `did you mean "args"?`},
		{tool, args{"name": strings.Repeat("x", 100<<10)}, "too large"},
		{plain, args{"args": slices.Repeat([]string{"x"}, 5000)}, "4096"},
	} {
		wants(t, a.call(c.tool, c.in), true, c.want)
	}
	if _, err := a.CallTool(t.Context(), &sdk.CallToolParams{Name: tool, Arguments: []int{1}}); err == nil {
		wants(t, a.call(tool, []int{1}), true, "input is a list")
	}
	large := strings.Repeat("line\n", 20_000)
	wants(t, a.call(plain, args{"stdin": large}), false, string(artifacts.DigestBytes([]byte(large))))
}

func TestScopesSayWhy(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	reader := u.tool(echo, level("read_only"))
	writer := u.tool(echo, level("write"))
	danger := u.tool(echo, level("dangerous"))
	never := u.tool(echo, level("forbidden"))
	nobody := u.tool(echo, level(""))
	other := u.tool(echo, func(m *jobs.Manifest) { m.Keywords = []string{"another"} })
	all := []string{reader, writer, danger, never, nobody, other}
	for _, c := range []struct {
		name  string
		scope Scope
		calls []string
		why   map[string]string // refused, with the rule
	}{
		{"default", Scope{}, []string{reader, writer, nobody}, map[string]string{
			danger: "operator.max-level", never: "level.forbidden", other: "keywords"}},
		{"read-only", Scope{Tier: permission.TierReadOnly}, []string{reader}, map[string]string{
			writer: "tier.read-only", danger: "tier.read-only", nobody: "tier.read-only"}},
		{"search-only", Scope{Tier: permission.TierSearchOnly}, nil, map[string]string{reader: "tier.search-only", writer: "tier.search-only"}},
		{"level", Scope{MaxLevel: permission.Write}, []string{reader, writer}, map[string]string{nobody: "operator.max-level"}},
		{"dangerous", Scope{AllowDangerous: true}, []string{reader, writer, danger, nobody}, map[string]string{never: "level.forbidden"}},
		{"by name", Scope{Tools: []string{writer}}, []string{writer}, map[string]string{reader: "does not offer"}},
	} {
		c.scope.Keywords = []string{u.keyword}
		a := u.server(func(cfg *Config) { cfg.Scope = c.scope }).connect(t, versions[0])
		names, _ := a.list()
		if diff := cmp.Diff(append([]string{searchName}, sorted(c.calls...)...), names); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		for _, tool := range all {
			r := a.call(tool, args{"args": []string{"ran"}})
			if slices.Contains(c.calls, tool) {
				wants(t, r, false, "ran")
			} else {
				wants(t, r, true, "cannot be called", c.why[tool])
			}
		}
		wants(t, a.call("no-such-tool", nil), true, "there is no tool", searchName)
		if t.Failed() {
			t.Fatal(c.name)
		}
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	word := strings.ToLower(u.keyword) + "x"
	best := u.tool(echo, func(m *jobs.Manifest) { m.Keywords = append(m.Keywords, word) }, schema(pair))
	second := u.tool(echo, func(m *jobs.Manifest) { m.Description = "about " + word })
	u.tool(echo, level("write"))
	for _, tier := range []permission.Tier{permission.TierFull, permission.TierSearchOnly} {
		a := u.server(func(c *Config) { c.Scope.Tier = tier }).connect(t, versions[1])
		r := a.call(searchName, args{"query": strings.ToUpper(word)})
		wants(t, r, false, best, second)
		var got struct {
			Found int
			Tools []found
		}
		data, _ := json.Marshal(r.StructuredContent)
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if got.Found != 2 || len(got.Tools) != 2 || got.Tools[0].Name != best || got.Tools[0].Callable != (tier == permission.TierFull) {
			t.Errorf("%s: found %+v", tier, got)
		}
		if !strings.Contains(string(got.Tools[0].InputSchema), `"times"`) {
			t.Errorf("schema %s", got.Tools[0].InputSchema)
		}
		wants(t, a.call(searchName, args{"query": word + " nowhere"}), false, "No tool")
		wants(t, a.call(searchName, args{"limit": 1}), false, "2 more")
		wants(t, a.call(searchName, args{"limit": 0}), true, "limit")
		wants(t, a.call(searchName, args{"words": "x"}), true, "words")
	}
}

func TestListChangesWithTheRegistry(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	first := u.tool(echo)
	hint := make(chan struct{}, 1)
	s := u.server(func(c *Config) { c.Changed = hint })
	for _, version := range versions {
		a := s.connect(t, version)
		change := func(what func() []string) {
			t.Helper()
			want := what()
			hint <- struct{}{}
			select {
			case <-a.changed:
			case <-time.After(20 * time.Second):
				t.Fatal("the agent heard of no change")
			}
			if names, _ := a.list(); !cmp.Equal(names[1:], sorted(want...)) {
				t.Fatalf("tools %q, want %q", names[1:], want)
			}
		}
		var second string
		change(func() []string {
			second = u.tool(echo)
			return []string{first, second}
		})
		wants(t, a.call(second, args{"args": []string{"ran"}}), false, "ran")
		change(func() []string {
			if err := u.client.Yank(t.Context(), second, "1.0.0", "it is broken"); err != nil {
				t.Fatal(err)
			}
			return []string{first}
		})
		wants(t, a.call(second, nil), true, "cannot be called")
		_ = a.Close()
	}
	before := s.current()
	if err := s.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := s.current(); now.find(first).print != before.find(first).print {
		t.Error("nothing changed, but the tool looks changed")
	}
}

func TestNewerVersionsReplaceOlderOnes(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	report := func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		return done(0, a.Job.Tool.Version, ""), nil
	}
	name := u.tool(report)
	s := u.server()
	a := s.connect(t, versions[0])
	wants(t, a.call(name, nil), false, "1.0.0")
	u.tool(report, named(name), func(m *jobs.Manifest) { m.Version = "1.1.0" })
	if err := s.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants(t, a.call(name, nil), false, "1.1.0")
	if err := u.client.Yank(t.Context(), name, "1.1.0", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants(t, a.call(name, nil), false, "1.0.0")
	pinned := u.server(func(c *Config) { c.Scope.Tools = []string{name + "@1.0.0", name + "@1.1.0", name} }).connect(t, versions[0])
	names, _ := pinned.list()
	// The plain name is 1.0.0, the newest that is not yanked, and offered once.
	if diff := cmp.Diff([]string{searchName, name, name + "_1_1_0"}, names); diff != "" {
		t.Errorf("pinned versions: %s", diff)
	}
	wants(t, pinned.call(name+"_1_1_0", nil), false, "1.1.0")
}

func TestHostileManifestsAreLeftOutOrCleaned(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	good := u.tool(echo, func(m *jobs.Manifest) {
		m.Description = "Reads\x1b[2J files.\u202e\U000e0049\U000e0067 " + strings.Repeat("long ", 1000)
	}, schema(`{"type":"object","properties":{"a":{"type":"string","description":"x\u001b[0m\udb40\udc41y"},"description":{"type":"string"}}}`))
	var remarks []string
	bad := map[string]string{
		u.tool(echo, schema(`{"type":"array"}`)):                                                "object",
		u.tool(echo, schema(`{"$ref":"file:///etc/passwd"}`)):                                   "other documents",
		u.tool(echo, schema(`{"properties":{"a":{"type":"string","x-mcp-header":"Host"}}}`)):    "x-mcp-header",
		u.tool(echo, schema(`{"description":"`+strings.Repeat("x", maxSchema)+`"}`)):            "bytes",
		u.tool(echo, schema(strings.Repeat(`{"not":`, 100)+"{}"+strings.Repeat(`}`, 100))):      "deep",
		u.tool(echo, schema(`{"properties":7}`)):                                                "",
		u.tool(echo, schema(`{"type":"object","properties":{"a":{"type":"what"}}}`)):            "schema",
		u.tool(echo, schema(`{"type":"object","properties":{"a":{}},"properties":{"b":null}}`)): "",
	}
	s := u.server(func(c *Config) {
		c.Say = func(format string, args ...any) { remarks = append(remarks, fmt.Sprintf(format, args...)) }
	})
	a := s.connect(t, versions[0])
	names, tools := a.list()
	if diff := cmp.Diff([]string{searchName, good}, names); diff != "" {
		t.Errorf("offered: %s", diff)
	}
	if d := tools[good].Description; !strings.HasPrefix(d, "Reads[2J files. long") || len(d) > maxText {
		t.Errorf("description %.100q, %d bytes", d, len(d))
	}
	in, _ := json.Marshal(tools[good].InputSchema)
	if !strings.Contains(string(in), `"x[0my"`) {
		t.Errorf("schema %s", in)
	}
	for name, why := range bad {
		wants(t, a.call(name, nil), true, "cannot be called", why)
	}
	for _, r := range remarks {
		if line(r, 1<<20) != r {
			t.Errorf("remark %q could drive a terminal", r)
		}
	}
	if len(remarks) < len(bad) {
		t.Errorf("%d remarks for the operator: %q", len(remarks), remarks)
	}
}

func TestWrongConfigsAreRefused(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	for want, change := range map[string]func(*Config){
		"client":       func(c *Config) { c.Client = nil },
		"tier":         func(c *Config) { c.Scope.Tier = "most" },
		"max level":    func(c *Config) { c.Scope.MaxLevel = "root" },
		"your consent": func(c *Config) { c.Scope.MaxLevel = permission.Dangerous },
		"NAME":         func(c *Config) { c.Scope.Tools = []string{"Not A Name"} },
		"max calls":    func(c *Config) { c.MaxCalls = -1 },
		"page size":    func(c *Config) { c.PageSize = -1 },
		"no such file": func(c *Config) { c.WorkDir = &WorkDir{Dir: "/none/at/all", Mode: limits.ReadOnly} },
		"mode":         func(c *Config) { c.WorkDir = &WorkDir{Dir: "/", Mode: "rx"} },
		"never changes": func(c *Config) {
			c.WorkDir = &WorkDir{Source: unstaged, Mode: limits.ReadWrite}
		},
		"object store": func(c *Config) { c.Store, c.WorkDir = nil, &WorkDir{Dir: "/", Mode: limits.ReadOnly} },
		"env_vars":     func(c *Config) { c.Options.EnvVars = map[string]string{"": "x"} },
	} {
		cfg := Config{Client: u.client, Store: theFleet.store}
		change(&cfg)
		if s, err := New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
			if s != nil {
				s.Close()
			}
		}
	}
}

func TestProtocolErrors(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	a := u.server().connect(t, versions[0])
	for _, uri := range []string{"", "boxfleet://jobs/x/stdout", "file:///etc/passwd", "boxfleet://jobs/../../x", "a\x00b", "a\u00e9", strings.Repeat("x", maxURI+1), `x"y`, "boxfleet://jobs/x/files/%zz"} {
		_, err := a.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: uri})
		var wire *jsonrpc.Error
		if !errors.As(err, &wire) {
			t.Errorf("URI %.40q: %v, want an error of the protocol", uri, err)
		}
	}
	if r, err := a.ListResources(t.Context(), nil); err != nil || len(r.Resources) != 0 {
		t.Errorf("resources %v, %v", r, err)
	}
	if r, err := a.ListResourceTemplates(t.Context(), nil); err != nil || len(r.ResourceTemplates) != 4 {
		t.Errorf("templates %v, %v", r, err)
	}
}

func TestGrantsGoToToolsWhoseLevelMayHaveThem(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	show := func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		o := a.Job.Options
		out, err := json.Marshal([]any{o.AllowedOutboundHosts, o.EnvVars, len(o.MapDirs), o.WasmFuel})
		return done(0, string(out), ""), err
	}
	http := imports("wasi_snapshot_preview1", "wasi:http/outgoing-handler@0.2.3")
	s := u.server(func(c *Config) {
		c.Options = limits.RunOption{
			AllowedOutboundHosts: []string{"https://example.com"}, WasmFuel: 1e6,
			EnvVars: map[string]string{"LANG": "C", "KEY": "secret://key"}, MapDirs: []limits.Mount{{Guest: "/data", Source: unstaged, Mode: limits.ReadOnly}},
		}
	})
	want := map[string]string{
		u.tool(show, level("read_only"), http): `[["https://example.com"],{"KEY":"secret://key","LANG":"C"},1,1000000]`,
		u.tool(show, level("read_only")):       `[null,{"KEY":"secret://key","LANG":"C"},1,1000000]`,
		u.tool(show, level("none"), http):      `[null,{"LANG":"C"},0,1000000]`,
	}
	if err := s.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := s.connect(t, versions[0])
	for tool, options := range want {
		if got := text(a.call(tool, nil)); got != options {
			t.Errorf("options %s, want %s", got, options)
		}
	}
}
