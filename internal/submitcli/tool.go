package submitcli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"boxfleet/jobs"
)

func (a *app) toolCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "tool", Short: "Register tools and look at them", Args: cobra.ArbitraryArgs, RunE: needCommand}
	cmd.AddCommand(a.toolPushCommand(), a.toolListCommand(), a.toolInspectCommand(), a.toolAliasCommand(),
		a.toolYankCommand(), a.toolUnyankCommand(), a.toolKeygenCommand(), a.toolSignCommand(), a.toolVerifyCommand())
	return cmd
}

func (a *app) toolListCommand() *cobra.Command {
	var q jobs.ToolQuery
	cmd := &cobra.Command{
		Use: "list [WORD...]", Short: "List registered tools, newest versions; with words, the best matches first",
		Long: "list shows tools that have every WORD in their name, keywords or description.",
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Text = strings.Join(args, " ")
			return a.toolList(cmd.Context(), q)
		},
	}
	cmd.Flags().BoolVar(&q.Versions, "versions", false, "all versions of each tool, yanked ones too")
	cmd.Flags().StringArrayVar(&q.Keywords, "keyword", nil, "only tools with this keyword; repeatable, any of them counts")
	return cmd
}

// toolList prints the tools that a query finds.
func (a *app) toolList(ctx context.Context, q jobs.ToolQuery) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	shown, err := client.SearchTools(ctx, q)
	if err != nil {
		return err
	}
	if q.Text == "" { // by name, and then oldest first
		slices.Reverse(shown)
		slices.SortStableFunc(shown, func(x, y jobs.Manifest) int { return strings.Compare(x.Name, y.Name) })
	}
	if a.globals.json {
		return a.printJSON(shown)
	}
	words := strings.Join(append(strings.Fields(q.Text), q.Keywords...), " ")
	if len(shown) == 0 && words != "" {
		a.remark("no tool mentions %s in its name, description or keywords", plain(words))
		return nil
	}
	if len(shown) == 0 {
		a.remark("no tools; push one with: submit tool push FILE.wasm --name NAME --version VERSION")
		return nil
	}
	rows := [][]string{{"NAME", "VERSION", "LEVEL", "SIZE", "DESCRIPTION"}}
	for _, m := range shown {
		version := m.Version
		if len(m.Channels) > 0 {
			version += " (" + strings.Join(m.Channels, ", ") + ")"
		}
		if m.Yanked != nil {
			version += " (yanked)"
		}
		rows = append(rows, []string{m.Name, version, m.Level, size(m.Size), firstSentence(m.Description)})
	}
	return a.table(rows)
}

func firstSentence(s string) string {
	if i := strings.IndexAny(s, "\n"); i >= 0 {
		s = s[:i]
	}
	if i := strings.Index(s, ". "); i >= 0 {
		s = s[:i+1]
	}
	if r := []rune(s); len(r) > 72 {
		s = string(r[:71]) + "…"
	}
	return s
}

func (a *app) toolInspectCommand() *cobra.Command {
	return &cobra.Command{
		Use: "inspect TOOL|FILE.wasm", Short: "Describe a registered tool, or a module before it is pushed", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if info, err := os.Stat(args[0]); err == nil && info.Mode().IsRegular() {
				return a.inspectFile(args[0])
			}
			return a.inspectTool(cmd.Context(), args[0])
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return a.toolNames(cmd), cobra.ShellCompDirectiveDefault
		},
	}
}

func (a *app) inspectTool(ctx context.Context, ref string) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	m, err := client.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	if a.globals.json {
		return a.printJSON(m)
	}
	rows := [][]string{
		{"tool", m.Name + "@" + m.Version}, {"description", m.Description}, {"keywords", strings.Join(m.Keywords, ", ")},
		{"level", m.Level}, {"digest", string(m.Digest)}, {"size", size(m.Size)}, {"imports", strings.Join(m.Imports, ", ")},
		{"kind", m.Kind}, {"wasi", m.WASI}, {"first memory", size(int64(m.MinMemory))},
		{"pushed", m.PushedAt.Local().Format(time.DateTime)},
	}
	if len(m.Channels) > 0 {
		rows = append(rows, []string{"channels", strings.Join(m.Channels, ", ")})
	}
	if m.Yanked != nil {
		rows = append(rows, []string{"yanked", yankReason(m.Yanked)})
	}
	if len(m.Signatures) > 0 {
		rows = append(rows, []string{"signatures", strings.Join(keyIDs(m), ", ")})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	return a.printOptions(m.InputSchema)
}

// printOptions lists the options that a tool's input schema names.
func (a *app) printOptions(schema json.RawMessage) error {
	var s struct {
		Properties map[string]struct {
			Type        any    `json:"type"`
			Description string `json:"description"`
			Default     any    `json:"default"`
			Enum        []any  `json:"enum"`
		} `json:"properties"`
		Required []string `json:"required"`
	}
	if len(schema) == 0 || json.Unmarshal(schema, &s) != nil || len(s.Properties) == 0 {
		return nil
	}
	names := make([]string, 0, len(s.Properties))
	for n := range s.Properties {
		names = append(names, n)
	}
	slices.Sort(names)
	rows := [][]string{{"OPTION", "TYPE", ""}}
	for _, n := range names {
		p := s.Properties[n]
		text := p.Description
		if slices.Contains(s.Required, n) {
			text += " [required]"
		}
		if p.Default != nil {
			text += fmt.Sprintf(" [default: %v]", p.Default)
		}
		if len(p.Enum) > 0 {
			text += fmt.Sprintf(" [one of %v]", p.Enum)
		}
		kind := ""
		if p.Type != nil {
			kind = fmt.Sprint(p.Type)
		}
		rows = append(rows, []string{"--" + strings.ReplaceAll(n, "_", "-"), kind, text})
	}
	if _, err := fmt.Fprintln(a.Stdout); err != nil {
		return wroteOut(err)
	}
	return a.table(rows)
}

// moduleReport is what inspecting a file says, also as JSON.
type moduleReport struct {
	File       string   `json:"file"`
	Size       int64    `json:"size"`
	Kind       string   `json:"kind"`
	WASI       string   `json:"wasi"`
	Command    bool     `json:"command"`
	Functions  int      `json:"functions"`
	MinMemory  uint64   `json:"min_memory"`
	DebugBytes uint64   `json:"debug_bytes"`
	Imports    []string `json:"imports"`
	Exports    []string `json:"exports"`
	Problems   []string `json:"problems"`
}

func (a *app) inspectFile(path string) error {
	wasm, err := readModule(path)
	if err != nil {
		return err
	}
	info, bad := inspectCode(wasm)
	r := moduleReport{File: path, Size: int64(len(wasm)), Imports: []string{}, Exports: []string{}, Problems: []string{}}
	if bad != nil {
		r.Problems = strings.Split(bad.Error(), "\n")
	}
	if info != nil {
		r.fill(info)
	}
	if a.globals.json {
		err = a.printJSON(r)
	} else {
		err = a.table([][]string{
			{"file", r.File}, {"size", size(r.Size)}, {"kind", r.Kind}, {"wasi", r.WASI}, {"functions", fmt.Sprint(r.Functions)}, {"first memory", size(int64(r.MinMemory))},
			{"debug sections", size(int64(r.DebugBytes))}, {"imports", strings.Join(r.Imports, " ")}, {"exports", strings.Join(r.Exports, " ")},
		})
	}
	if err != nil || bad == nil {
		return err
	}
	return refused(path, bad)
}

func (r *moduleReport) fill(in *inspected) {
	r.Kind, r.WASI, r.Command = in.kind, in.wasi, in.command
	r.Functions, r.MinMemory, r.DebugBytes = in.core.Functions, in.core.MinMemory(), in.core.DebugBytes
	for _, i := range in.core.Imports {
		r.Imports = append(r.Imports, i.Module+"."+i.Name)
	}
	for _, e := range in.core.Exports {
		r.Exports = append(r.Exports, e.Name)
	}
}

// refused says why the fleet cannot run a module, a line for each reason.
func refused(what string, reasons error) error {
	var lines []error
	for l := range strings.SplitSeq(reasons.Error(), "\n") {
		lines = append(lines, fmt.Errorf("%s: %s", what, l))
	}
	return usage(errors.Join(lines...))
}

// toolNames completes tool references in a shell; it fails silently.
func (a *app) toolNames(cmd *cobra.Command) []string {
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	if a.globals.fromEnvironment(cmd.Flags()) != nil {
		return nil
	}
	a.globals.quiet = true
	client, err := a.client(ctx)
	if err != nil {
		return nil
	}
	tools, err := client.Tools(ctx)
	if err != nil {
		return nil
	}
	var names []string
	for _, m := range tools {
		if !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
	}
	return names
}
