package mcp

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"boxfleet/artifacts"
	"boxfleet/jobs"
)

func TestWhatACallLeavesCanBeRead(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	long := strings.Repeat("0123456789abcdef", 16<<10) // 256 KiB
	tool := u.tool(func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		r := done(0, long[:jobs.InlineOutput], "warning\n")
		key := a.OutputPrefix() + "run/stdio/stdout"
		if err := theFleet.store.Put(ctx, "", key, []byte(long)); err != nil {
			return nil, err
		}
		r.StdoutKey = "s3://" + theFleet.store.Bucket() + "/" + key
		return r, leave(ctx, r, a, map[string]string{
			"a b/ü%.txt": "text", "small.png": "\x89PNG\r\n\x1a\n\x00", "empty.bin": "", "../evil": "x", "data.json": `{"a":1}`,
		})
	})
	s := u.server()
	a := s.connect(t, versions[0])
	r := a.call(tool, nil)
	wants(t, r, false, "Standard output is longer", "link stdout")
	if r.StructuredContent != nil {
		t.Error("half an output is no data")
	}
	links := linksOf(r)
	for name, want := range map[string]struct{ text, blob, media string }{
		"a b/ü%.txt": {text: "text", media: "text/plain"},
		"small.png":  {blob: "\x89PNG\r\n\x1a\n\x00", media: "image/png"},
		"empty.bin":  {},
		"data.json":  {text: `{"a":1}`, media: "application/json"},
		"stdout":     {text: long, media: "text/plain"},
	} {
		got, err := a.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: links[name]})
		if err != nil {
			t.Errorf("%s at %q: %v", name, links[name], err)
			continue
		}
		if c := got.Contents[0]; c.Text != want.text || string(c.Blob) != want.blob || (want.media != "" && c.MIMEType != want.media) || c.URI != links[name] {
			t.Errorf("%s is %.50q, %.50q, %s at %s", name, c.Text, c.Blob, c.MIMEType, c.URI)
		}
	}
	base, _, _ := strings.Cut(links["stdout"], "stdout")
	got, err := a.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: base + "stderr"})
	if err != nil || got.Contents[0].Text != "warning\n" {
		t.Errorf("standard error: %v, %v", got, err)
	}
	got, err = a.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: base + "result"})
	var result jobs.Result
	if err != nil || json.Unmarshal([]byte(got.Contents[0].Text), &result) != nil || result.FuelConsumed != 7 {
		t.Errorf("result: %v, %v", got, err)
	}
	for _, uri := range []string{base + "files/..%2fevil", base + "files/../evil", base + "files/%2e%2e/evil", base + "files/none", base + "files/", base, base + "other", links["small.png"] + "/x"} {
		if got, err := a.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: uri}); err == nil {
			t.Errorf("%s can be read: %v", uri, got.Contents[0])
		}
	}
}

func TestOnlyWhatThisServerRanCanBeRead(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	s := u.server()
	a := s.connect(t, versions[0])
	// A job of the same tenant that was not called here.
	m, err := u.client.Resolve(t.Context(), tool)
	if err != nil {
		t.Fatal(err)
	}
	waiter, err := u.client.NewWaiter("", "private")
	if err != nil {
		t.Fatal(err)
	}
	defer waiter.Close()
	waiter.Expect("private")
	if _, err := u.client.Submit(t.Context(), &jobs.Job{ID: "private", Tool: m.Tool()}); err != nil {
		t.Fatal(err)
	}
	if _, err := waiter.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{"boxfleet://jobs/private/stdout", "boxfleet://jobs/private/result"} {
		if _, err := a.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: uri}); err == nil || !strings.Contains(err.Error(), "not found") {
			t.Errorf("%s: %v, want not found", uri, err)
		}
	}
	other := u.server().connect(t, versions[0])
	id := a.call(tool, nil).Meta[metaResult].(map[string]any)["job"].(string)
	if _, err := a.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: uriPrefix + id + "/result"}); err != nil {
		t.Errorf("its own job: %v", err)
	}
	if _, err := other.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: uriPrefix + id + "/result"}); err == nil {
		t.Error("another server's job can be read")
	}
}

func TestFilesThatAreNotWhatTheyWereAreRefused(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		r := done(0, "", "")
		if err := leave(ctx, r, a, map[string]string{"changed": "before", "large": "x", "gone": "x"}); err != nil {
			return nil, err
		}
		_, key, err := artifacts.ParseObject(r.OutputPrefix)
		if err != nil {
			return nil, err
		}
		for i := range r.Outputs {
			if r.Outputs[i].Path == "large" {
				r.Outputs[i].Size = maxResource + 1
			}
		}
		if err := theFleet.store.Put(ctx, "", key+"changed", []byte("behind")); err != nil {
			return nil, err
		}
		return r, theFleet.store.Delete(ctx, "", key+"gone")
	})
	a := u.server().connect(t, versions[1])
	links := linksOf(a.call(tool, nil))
	for name, want := range map[string]string{"changed": "not what the job left", "large": "--output-dir", "gone": "read gone"} {
		if _, err := a.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: links[name]}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

func TestKeptForgetsTheOldest(t *testing.T) {
	t.Parallel()
	var k kept
	for i := range maxKept + 1 {
		k.add("job-"+string(rune('a'+i%26))+strings.Repeat("x", i/26), "s")
	}
	if k.has("job-a", "s") || !k.has("job-b", "s") || k.has("job-b", "other") || len(k.owner) != maxKept {
		t.Errorf("%d jobs are kept", len(k.owner))
	}
}

func FuzzParseURI(f *testing.F) {
	for _, uri := range []string{"boxfleet://jobs/a/files/b/c", "boxfleet://jobs/a/stdout", "boxfleet://jobs/a/files/%2e%2e", "boxfleet://jobs//", "x", fileURI("j", "ü /%")} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		job, part, file, ok := parseURI(uri)
		if !ok {
			return
		}
		if !jobs.ValidID(job) {
			t.Errorf("job %q", job)
		}
		if part != partFiles {
			return
		}
		if err := artifacts.CheckPath(file); err != nil {
			t.Error(err)
		}
		if _, _, again, ok := parseURI(fileURI(job, file)); !ok || again != file {
			t.Errorf("%q comes back as %q", file, again)
		}
	})
}
