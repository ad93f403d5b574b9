package mcp

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"boxfleet/jobs"
	"boxfleet/limits/permission"
)

// searchName is the tool that looks tools up. It is the only one that an agent
// of tier search-only sees. Registered names have no underscore, so none is
// this one.
const searchName = "boxfleet_search"

const (
	searchDefault = 10
	searchMost    = 50
)

const searchSchema = `{"type":"object","properties":{` +
	`"query":{"type":"string","maxLength":1000,"description":"Words to look for in names, keywords and descriptions; all of them must be found. Empty lists everything"},` +
	`"limit":{"type":"integer","minimum":1,"maximum":50,"default":10,"description":"How many tools at most"}},` +
	`"additionalProperties":false}`

const searchOutput = `{"type":"object","properties":{` +
	`"found":{"type":"integer","description":"How many tools match, also those beyond the limit"},` +
	`"tools":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},"version":{"type":"string"},` +
	`"description":{"type":"string"},"keywords":{"type":"array","items":{"type":"string"}},"permission_level":{"type":"string"},` +
	`"callable":{"type":"boolean","description":"Whether this server runs it for you"},"input_schema":{"type":"object"}},` +
	`"required":["name","version","callable","input_schema"]}}},"required":["found","tools"]}`

// found is a tool in a search's answer.
type found struct {
	Name        string          `json:"name"`
	Version     string          `json:"version"`
	Description string          `json:"description,omitempty"`
	Keywords    []string        `json:"keywords,omitempty"`
	Level       string          `json:"permission_level,omitempty"`
	Callable    bool            `json:"callable"`
	InputSchema json.RawMessage `json:"input_schema"`
}

func searchTool() *sdk.Tool {
	return &sdk.Tool{
		Name: searchName, Description: "Find tools of this fleet by words, with what they take. Use it when no listed tool seems to fit, or to learn what there is.",
		InputSchema: json.RawMessage(searchSchema), OutputSchema: json.RawMessage(searchOutput),
		Annotations: &sdk.ToolAnnotations{Title: "Search tools", ReadOnlyHint: true, IdempotentHint: true, DestructiveHint: ptr(false), OpenWorldHint: ptr(false)},
	}
}

// search answers a call of the search tool from what is offered now.
func (s *Server) search(_ context.Context, req *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
	raw := req.Params.Arguments
	if len(raw) == 0 {
		raw = json.RawMessage("{}")
	}
	if _, err := s.searchInput.Argv(raw); err != nil {
		return refusal(err.Error()), nil
	}
	in := struct {
		Query string  `json:"query"`
		Limit float64 `json:"limit"` // 10.0 is an integer to a schema
	}{Limit: searchDefault}
	if err := json.Unmarshal(raw, &in); err != nil {
		return refusal(err.Error()), nil
	}
	limit := min(max(int(in.Limit), 1), searchMost)

	o := s.current()
	hits := rank(o.searchable, in.Query)
	answer := struct {
		Found int     `json:"found"`
		Tools []found `json:"tools"`
	}{Found: len(hits), Tools: []found{}}
	var text strings.Builder
	for _, t := range hits[:min(limit, len(hits))] {
		f := t.found(o.find(t.name) != nil)
		answer.Tools = append(answer.Tools, f)
		fmt.Fprintf(&text, "%s %s (%s): %s\n", f.Name, f.Version, cmp.Or(f.Level, "no level"), f.Description)
	}
	switch {
	case len(hits) == 0:
		text.WriteString("No tool has all of these words; try fewer or others.")
	case len(hits) > len(answer.Tools):
		fmt.Fprintf(&text, "%d more; give a larger limit, or more words.", len(hits)-len(answer.Tools))
	}
	return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: text.String()}}, StructuredContent: answer}, nil
}

func (t *tool) found(callable bool) found {
	m := &t.manifest
	text, _ := visible(m.Description)
	f := found{Name: t.name, Version: m.Version, Description: cut(text, maxText), Level: m.Level, Callable: callable, InputSchema: t.input.schema}
	for _, k := range m.Keywords {
		f.Keywords = append(f.Keywords, line(k, maxName))
	}
	return f
}

// rank gives the tools that have all words of a query, best first, as the
// registry's own search orders them.
func rank(tools []*tool, query string) []*tool {
	all := make([]jobs.Manifest, len(tools))
	of := map[string]*tool{}
	for i, t := range tools {
		all[i] = t.manifest
		of[t.manifest.Name+"@"+t.manifest.Version] = t
	}
	var out []*tool
	for _, m := range (jobs.ToolQuery{Text: query, Versions: true}).Select(all) {
		out = append(out, of[m.Name+"@"+m.Version])
	}
	return out
}

// lookUp is the scope by which tools are found that may not be called: all of
// it but the tier, if that is search-only.
func (sc Scope) lookUp() Scope {
	if sc.Tier == permission.TierSearchOnly {
		sc.Tier = permission.TierFull
	}
	return sc
}
