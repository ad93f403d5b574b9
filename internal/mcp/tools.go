package mcp

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"boxfleet/jobs"
	"boxfleet/limits"
	"boxfleet/limits/permission"
)

// maxName is the longest tool name that common hosts take.
const maxName = 64

// tool is one tool as it is offered.
type tool struct {
	name     string
	manifest jobs.Manifest
	input    *input
	options  limits.RunOption // what a call is granted, the work directory not yet staged
	print    string           // equal for equal tools
}

// offer is what a server makes of the registry at one moment.
type offer struct {
	tools      []*tool           // by name
	hidden     map[string]string // tools of the registry that are not offered, with why
	searchable []*tool           // what the search tool finds; tools, but for the tier search-only
	other      []string          // what the operator should know: tools left out, references not found
}

// chosen is a manifest and the name it is offered under.
type chosen struct {
	name string
	m    *jobs.Manifest
}

// makeOffer chooses from the registry what the scope lets an agent see.
func makeOffer(all []jobs.Manifest, sc Scope, base limits.RunOption, work *limits.Mount) *offer {
	o := &offer{hidden: map[string]string{}}
	for i := range all {
		o.hidden[all[i].Name] = "this server does not offer it"
	}
	for _, c := range o.choose(all, sc.Tools) {
		if !sc.matches(c.m) {
			o.hidden[c.name] = fmt.Sprintf("this server offers tools with one of these keywords only: %s", strings.Join(sc.Keywords, ", "))
			continue
		}
		options := sc.grant(c.m, base, work)
		if denials := sc.check(c.m, &options); len(denials) > 0 {
			o.hidden[c.name] = denied(denials)
			continue
		}
		t := &tool{name: c.name, manifest: *c.m, options: options}
		var err error
		if t.input, err = newInput(c.m.InputSchema); err == nil {
			err = listable(t.describe())
		}
		if err != nil {
			o.hidden[c.name] = "it cannot be offered: " + line(err.Error(), maxText)
			o.other = append(o.other, fmt.Sprintf("tool %s@%s is left out: %v", c.m.Name, c.m.Version, err))
			continue
		}
		delete(o.hidden, c.name)
		t.print = t.fingerprint()
		o.tools = append(o.tools, t)
	}
	slices.SortFunc(o.tools, func(a, b *tool) int { return cmp.Compare(a.name, b.name) })
	return o
}

// choose gives the tools that refs name, or the newest version of each that is
// not yanked. A tool that is named more than once carries its version or
// channel in its name.
func (o *offer) choose(all []jobs.Manifest, refs []string) []chosen {
	newest := map[string]*jobs.Manifest{}
	var names []string
	for i := range all { // versions ascend within a name
		if all[i].Yanked != nil {
			continue
		}
		if newest[all[i].Name] == nil {
			names = append(names, all[i].Name)
		}
		newest[all[i].Name] = &all[i]
	}
	var out []chosen
	if len(refs) == 0 {
		for _, name := range names {
			out = append(out, chosen{name, newest[name]})
		}
		return out
	}
	times := map[string]int{}
	refs = slices.Compact(slices.Sorted(slices.Values(refs)))
	for _, ref := range refs {
		name, _, _ := strings.Cut(ref, "@")
		times[name]++
	}
	for _, ref := range refs {
		name, at, pinned := strings.Cut(ref, "@")
		m := newest[name]
		if pinned && at != jobs.ChannelLatest {
			m = pin(all, name, at)
		}
		if m == nil {
			o.other = append(o.other, fmt.Sprintf("tool %s is not registered", ref))
			continue
		}
		if m.Yanked != nil {
			o.other = append(o.other, fmt.Sprintf("tool %s is yanked (%s); it is offered because you name it", ref, m.Yanked.Reason))
		}
		shown := name
		if times[name] > 1 && pinned {
			shown = name + "_" + strings.ReplaceAll(at, ".", "_")
		}
		if slices.ContainsFunc(out, func(c chosen) bool { return c.m == m }) {
			o.other = append(o.other, fmt.Sprintf("tool %s is version %s, which is offered already", ref, m.Version))
			continue
		}
		if len(shown) > maxName || shown == searchName || slices.ContainsFunc(out, func(c chosen) bool { return c.name == shown }) {
			o.other = append(o.other, fmt.Sprintf("tool %s is left out: the name %q is taken, or longer than %d", ref, cut(shown, 2*maxName), maxName))
			continue
		}
		out = append(out, chosen{shown, m})
	}
	return out
}

// pin gives one version of a tool, or that which a channel points to.
func pin(all []jobs.Manifest, name, at string) *jobs.Manifest {
	var of *jobs.Manifest
	for i := range all {
		switch m := &all[i]; {
		case m.Name != name:
		case m.Version == at:
			return m
		case slices.Contains(m.Channels, at):
			of = m
		}
	}
	return of
}

// denied is why a tool may not be called, with the rules' names.
func denied(denials []permission.Denial) string {
	reasons := make([]string, len(denials))
	for i, d := range denials {
		reasons[i] = d.String()
	}
	return strings.Join(reasons, "; ")
}

// find gives the offered tool of a name.
func (o *offer) find(name string) *tool {
	i, ok := slices.BinarySearchFunc(o.tools, name, func(t *tool, name string) int { return cmp.Compare(t.name, name) })
	if !ok {
		return nil
	}
	return o.tools[i]
}

// fingerprint tells tools apart that an agent would see or run differently.
func (t *tool) fingerprint() string {
	m := &t.manifest
	options, err := json.Marshal(t.options)
	return fmt.Sprintf("%s %s %s %q %q %s %s %s %v", t.name, m.Version, m.Digest, m.Description, m.Keywords, m.Level, t.input.schema, options, err)
}

// describe is the tool as the protocol lists it.
func (t *tool) describe() *sdk.Tool {
	m := &t.manifest
	level := permission.Level(m.Level)
	reads := level != "" && !level.Above(permission.ReadOnly)
	changes := t.options.WorkDir != nil && t.options.WorkDir.Mode == limits.ReadWrite
	open := len(t.options.AllowedOutboundHosts) > 0
	text, _ := visible(m.Description)
	keywords := make([]string, 0, len(m.Keywords))
	for _, k := range m.Keywords {
		keywords = append(keywords, line(k, maxName))
	}
	meta := map[string]any{"version": m.Version, "digest": m.Digest, "keywords": keywords}
	if m.Level != "" {
		meta["permission_level"] = m.Level
	}
	if networked(m) {
		meta["network"] = t.options.AllowedOutboundHosts
	}
	return &sdk.Tool{
		Name: t.name, Description: cut(text, maxText), InputSchema: t.input.schema,
		Annotations: &sdk.ToolAnnotations{
			Title: m.Name + " " + m.Version, ReadOnlyHint: reads,
			// What a job without kept files changes goes away with it.
			DestructiveHint: ptr(!reads && (changes || open)), OpenWorldHint: ptr(open),
		},
		Meta: sdk.Meta{metaTool: meta},
	}
}

func ptr[T any](v T) *T { return &v }

// Keys of the protocol's _meta fields (MCP 2025-11-25, "General fields").
const (
	metaTool   = "boxfleet/tool"   // of a tool: version, digest, level, keywords
	metaResult = "boxfleet/result" // of a call's answer: the job's result
)
