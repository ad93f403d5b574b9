package doctest

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"boxfleet/limits"
)

// TestRunOptionPage holds docs/runoption.md to the code: a row for every field
// with its flag, its default, its ceiling and settings that exist, a heading
// to each link, and an example that has every field and is valid.
func TestRunOptionPage(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(repo + "/docs/runoption.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	rows := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| \\[`(\\w+)`\\].*$").FindAllStringSubmatch(text, -1) {
		cells := strings.Split(strings.Trim(m[0], "| "), " | ")
		for _, field := range regexp.MustCompile("\\[`(\\w+)`\\]\\(#([\\w-]+)\\)").FindAllStringSubmatch(cells[0], -1) {
			rows[field[1]] = cells
			if heading := field[2]; !hasHeading(text, heading) {
				t.Errorf("%s: there is no heading #%s", field[1], heading)
			}
		}
	}
	std := limits.StandardCeilings()
	amounts := map[string][2]string{
		"wasm_timeout":          {std.Default.Timeout.String(), std.Max.Timeout.String()},
		"wasm_max_memory_size":  {std.Default.Memory.String(), std.Max.Memory.String()},
		"wasm_max_wasm_stack":   {std.Default.Stack.String(), std.Max.Stack.String()},
		"wasm_fuel":             {count(std.Default.Fuel), count(std.Max.Fuel)},
		"max_stdout":            {std.Default.Stdout.String(), std.Max.Stdout.String()},
		"max_stderr":            {std.Default.Stderr.String(), std.Max.Stderr.String()},
		"max_written_bytes":     {std.Default.WrittenBytes.String(), std.Max.WrittenBytes.String()},
		"max_files":             {count(std.Default.Files), count(std.Max.Files)},
		"max_open_files":        {count(std.Default.OpenFiles), count(std.Max.OpenFiles)},
		"max_outbound_bytes":    {std.Default.OutboundBytes.String(), std.Max.OutboundBytes.String()},
		"max_outbound_requests": {count(std.Default.OutboundRequests), count(std.Max.OutboundRequests)},
	}
	if n := reflect.TypeFor[limits.Amounts]().NumField(); n != len(amounts) {
		t.Errorf("there are %d amounts, this test knows %d", n, len(amounts))
	}
	run := command(rig.checks.Programs["submit"], "run")
	worker := command(rig.checks.Programs["worker"], "run")
	option := reflect.TypeFor[limits.RunOption]()
	fields := map[string]bool{}
	for i := range option.NumField() {
		name, _, _ := strings.Cut(option.Field(i).Tag.Get("json"), ",")
		fields[name] = true
		cells := rows[name]
		if cells == nil {
			t.Errorf("docs/runoption.md has no row for %s", name)
			continue
		}
		for len(cells) < 6 { // the last cells are empty
			cells = append(cells, "")
		}
		for _, flag := range regexp.MustCompile("`--([a-z-]+)`").FindAllStringSubmatch(cells[1], -1) {
			if !hasFlag(run.Flags, flag[1]) {
				t.Errorf("%s: submit run has no flag --%s", name, flag[1])
			}
		}
		if a, ok := amounts[name]; ok && (cells[3] != "`"+a[0]+"`" || cells[4] != "`"+a[1]+"`") {
			t.Errorf("%s: the page says default %s and ceiling %s; the code has %s and %s", name, cells[3], cells[4], a[0], a[1])
		}
		for _, setting := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(strings.Join(cells[5:], " "), -1) {
			if !hasFlag(worker.Flags, setting[1]) {
				t.Errorf("%s: a worker has no setting %s", name, setting[1])
			}
		}
	}
	for name := range rows {
		if !fields[name] {
			t.Errorf("docs/runoption.md has a row for %s, which is no field", name)
		}
	}
	for _, bound := range []struct {
		field string
		n     int
	}{{"map_dirs", limits.MaxMounts}, {"env_vars", limits.MaxEnvVars}, {"allowed_outbound_hosts", limits.MaxPolicyItems}, {"block_url", limits.MaxPolicyItems}, {"block_networks", limits.MaxPolicyItems}} {
		if cells := rows[bound.field]; len(cells) > 4 && !strings.HasPrefix(cells[4], strconv.Itoa(bound.n)+" ") {
			t.Errorf("%s: the page says %s; the code has %d", bound.field, cells[4], bound.n)
		}
	}
	example(t, text, fields)
}

func example(t *testing.T, text string, fields map[string]bool) {
	t.Helper()
	block := regexp.MustCompile("(?s)```json\n(.*?)```").FindStringSubmatch(text)
	if block == nil {
		t.Fatal("no example")
	}
	var job struct {
		Tool    string
		Args    []string
		Options json.RawMessage
	}
	var option limits.RunOption
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(block[1]), &job); err != nil {
		t.Fatal(err)
	}
	strict := json.NewDecoder(bytes.NewReader(job.Options))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&option); err != nil {
		t.Fatal(err)
	}
	if err := option.Validate(); err != nil {
		t.Error(err)
	}
	if _, err := limits.StandardCeilings().Grant(&option); err != nil {
		t.Error(err)
	}
	if err := json.Unmarshal(job.Options, &members); err != nil {
		t.Fatal(err)
	}
	for name := range fields {
		if members[name] == nil && name != "wasm_cache_dir" {
			t.Errorf("the example has no %s", name)
		}
	}
	if option.WasmTimeout != limits.Duration(2500*time.Millisecond) {
		t.Errorf("the example's timeout is %s", option.WasmTimeout)
	}
}

func count(n uint64) string { return strconv.FormatUint(n, 10) }

// anchor is how a heading is linked to.
func anchor(heading string) string {
	keep := func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_':
			return r
		case r == ' ':
			return '-'
		}
		return -1
	}
	return strings.Map(keep, strings.ToLower(heading))
}

func hasHeading(text, want string) bool {
	for l := range strings.Lines(text) {
		if h := strings.TrimLeft(l, "#"); h != l && anchor(strings.TrimSpace(h)) == want {
			return true
		}
	}
	return false
}
