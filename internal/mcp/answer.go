package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"boxfleet/internal/toolresult"
	"boxfleet/jobs"
)

// Bounds on an answer: a model pays for every character of it.
const (
	maxAnswer = 128 << 10 // bytes of standard output, structured or not
	maxStderr = 8 << 10   // bytes of standard error
	maxLinks  = 64        // files linked to
	maxDenied = 10        // denials told
)

// answer is the answer to a call whose job has ended: what the tool says as
// text, and as data if it is a JSON object; why it failed, if it did; what it
// was denied; links to what it left; and the job's result under _meta.
func (s *Server) answer(ctx context.Context, a *attempt, res *jobs.Result, c changes) *sdk.CallToolResult {
	out, whole, err := s.stream(ctx, res.Stdout, res.StdoutKey, maxAnswer)
	said := toolresult.Parse(out)
	r := &sdk.CallToolResult{
		IsError: res.Outcome != jobs.Succeeded || said.IsError || len(c.kept) > 0,
		Meta:    sdk.Meta{metaResult: summary(res)},
	}
	text := func(format string, args ...any) {
		r.Content = append(r.Content, &sdk.TextContent{Text: fmt.Sprintf(format, args...)})
	}
	if why := ending(a.tool, res); why != "" {
		text("%s", why)
	}
	removed := 0
	show := func(s string, limit int) string {
		s, n := visible(s)
		removed += n
		return cut(s, limit)
	}
	if content := show(said.Content, maxAnswer); content != "" {
		text("%s", content)
	}
	if whole {
		r.StructuredContent = structured(out, said)
	}
	stderr := strings.TrimSpace(show(string(res.Stderr), maxStderr))
	if stderr != "" {
		text("standard error:\n%s", stderr)
	}
	if len(r.Content) == 0 {
		text("%s wrote nothing and exited with %d.", a.tool.name, res.ExitCode)
	}
	for _, note := range notes(res, c) {
		text("%s", show(note, maxText))
	}
	switch {
	case err != nil:
		text("Only the beginning of standard output is above: %s", line(err.Error(), maxText))
	case !whole:
		text("Standard output is longer; above is its beginning, all of it is linked.")
	}
	if removed > 0 {
		text("%d control or invisible characters were left out above; the linked output has them.", removed)
	}
	s.links(r, res, !whole || err != nil || removed > 0)
	return r
}

// ending says why a call failed, "" when it did not.
func ending(t *tool, res *jobs.Result) string {
	why := line(res.Error, maxText)
	if why == "" {
		why = "no reason given"
	}
	switch res.Outcome {
	case jobs.Succeeded:
		return ""
	case jobs.Exited:
		return fmt.Sprintf("%s exited with code %d.", t.name, res.ExitCode)
	case jobs.Denied:
		return fmt.Sprintf("%s was not run, it was denied: %s", t.name, why)
	case jobs.Invalid:
		return fmt.Sprintf("%s cannot run here: %s", t.name, why)
	case jobs.Failed:
		return fmt.Sprintf("The fleet failed to run %s; trying again later may help: %s", t.name, why)
	case jobs.Canceled:
		return fmt.Sprintf("%s was canceled: %s", t.name, why)
	}
	return fmt.Sprintf("%s was ended, outcome %s: %s", t.name, res.Outcome, why)
}

// structured is standard output as data, if it is a JSON object. An answer in
// the Rust notation becomes the object it stands for.
func structured(out []byte, said toolresult.Result) any {
	out = bytes.TrimSpace(out)
	if !bytes.HasPrefix(out, []byte("{")) {
		if said.Raw {
			return nil
		}
		return map[string]any{"content": said.Content, "is_error": said.IsError, "metadata": said.Metadata}
	}
	clean, err := cleanJSON(out, func(_, value string) string {
		value, _ = visible(value)
		return value
	})
	if err != nil {
		return nil // more than one value, say: it is text then
	}
	return json.RawMessage(clean)
}

// notes are what an agent has to know of a run besides its output.
func notes(res *jobs.Result, c changes) []string {
	var out []string
	for i, d := range res.Denials {
		if i == maxDenied {
			out = append(out, fmt.Sprintf("%d more denials.", len(res.Denials)-i))
			break
		}
		times := ""
		if d.Count > 1 {
			times = fmt.Sprintf(" (%d times)", d.Count)
		}
		out = append(out, fmt.Sprintf("Denied: %s %s: %s%s", d.What, d.Target, d.Rule, times))
	}
	if len(c.written)+len(c.removed) > 0 {
		var parts []string
		if len(c.written) > 0 {
			parts = append(parts, "written "+some(c.written))
		}
		if len(c.removed) > 0 {
			parts = append(parts, "removed "+some(c.removed))
		}
		out = append(out, "Work directory: "+strings.Join(parts, "; "))
	}
	for i, k := range c.kept {
		if i == maxDenied {
			out = append(out, fmt.Sprintf("%d more files were not written.", len(c.kept)-i))
			break
		}
		out = append(out, "Not written to the work directory: "+k+". The job's version is linked.")
	}
	return out
}

// some lists the first names of many.
func some(names []string) string {
	const shown = 20
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

// links adds the resources of a result: its files, and its output when the
// answer does not have it as it was.
func (s *Server) links(r *sdk.CallToolResult, res *jobs.Result, output bool) {
	if output {
		r.Content = append(r.Content, &sdk.ResourceLink{URI: uriPrefix + res.ID + "/" + partStdout, Name: partStdout, MIMEType: "text/plain"})
	}
	if res.StderrKey != "" {
		r.Content = append(r.Content, &sdk.ResourceLink{URI: uriPrefix + res.ID + "/" + partStderr, Name: partStderr, MIMEType: "text/plain"})
	}
	for i, f := range res.Outputs {
		if i == maxLinks {
			r.Content = append(r.Content, &sdk.TextContent{Text: fmt.Sprintf("%d more files; %s%s/%s lists them.", len(res.Outputs)-i, uriPrefix, res.ID, partResult)})
			break
		}
		r.Content = append(r.Content, &sdk.ResourceLink{URI: fileURI(res.ID, f.Path), Name: line(f.Path, maxURI), MIMEType: mimeType(f.Path), Size: ptr(f.Size)})
	}
}

// summary is the result without what the answer has already.
func summary(res *jobs.Result) map[string]any {
	m := map[string]any{
		"job": res.ID, "outcome": res.Outcome, "exit_code": res.ExitCode, "fuel_consumed": res.FuelConsumed,
		"peak_memory": res.PeakMemory, "phases": res.Phases, "attempts": res.Attempts, "worker": line(res.Worker, 64),
		"trace_id": res.TraceID, "outputs": len(res.Outputs), "bytes_in": res.BytesIn, "bytes_out": res.BytesOut,
	}
	if len(res.Denials) > 0 {
		m["denials"] = res.Denials[:min(len(res.Denials), maxDenied)]
	}
	if res.Error != "" {
		m["error"] = line(res.Error, maxText)
	}
	return m
}
