package metering

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// WriteReport describes for a reader what was read and what was injected:
// imports, exports, memories, tables, sizes and the places of checks.
func (m *Module) WriteReport(w io.Writer) error {
	i, s := m.Info, m.Stats
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if i.ModuleName != "" {
		line("name           %s", i.ModuleName)
	}
	line("size           %d bytes, of them %d code, %d data in %d segments, %d debug", i.Size, i.CodeBytes, i.DataBytes, i.DataSegments, i.DebugBytes)
	line("functions      %d", i.Functions)
	for _, mem := range i.Memories {
		line("memory         %d bytes at the start, %s", uint64(mem.Min)*PageSize, atMost(mem.Limits, PageSize))
	}
	for _, t := range i.Tables {
		line("table          %d elements of %s at the start, %s", t.Min, t.Type, atMost(t.Limits, 1))
	}
	modules := map[string]int{}
	for _, imp := range i.Imports {
		modules[imp.Module]++
	}
	names := make([]string, 0, len(modules))
	for name := range modules {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		line("imports        %d from %q", modules[name], name)
	}
	line("exports        %d; a command: %t; a start function: %t", len(i.Exports), i.IsCommand(), i.HasStart)
	line("checks         %d of the fuel, %d of the stack", s.Checks, s.StackChecks)
	line("fuel updates   %d", s.Updates)
	line("data segments  %d joined to others, %d moved to the image", s.SegmentsJoined, s.SegmentsMoved)
	line("code           %d -> %d bytes (%+.1f %%)", s.CodeIn, s.CodeOut, percent(s.CodeIn, s.CodeOut))
	line("module         %d -> %d bytes (%+.1f %%)", s.BytesIn, s.BytesOut, percent(s.BytesIn, s.BytesOut))
	_, err := io.WriteString(w, b.String())
	return err
}

func percent(from, to int) float64 {
	if from == 0 {
		return 0
	}
	return 100 * (float64(to)/float64(from) - 1)
}

func atMost(l Limits, unit uint64) string {
	if !l.HasMax {
		return "without a maximum of its own"
	}
	return fmt.Sprintf("at most %d", uint64(l.Max)*unit)
}
