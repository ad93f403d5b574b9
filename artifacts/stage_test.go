package artifacts_test

import (
	"bytes"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/artifacts"
	"boxfleet/internal/faultproxy"

	"github.com/google/go-cmp/cmp"
)

func stage(t *testing.T, s *artifacts.Store, source string, change ...func(*artifacts.StageRequest)) (map[string]string, artifacts.StageReport, error) {
	t.Helper()
	src, err := artifacts.ParseSource(source)
	if err != nil {
		t.Fatal(err)
	}
	req := artifacts.StageRequest{Store: s, Source: src, Dir: t.TempDir(), Trusted: true}
	for _, c := range change {
		c(&req)
	}
	report, err := artifacts.Stage(t.Context(), req)
	if err != nil {
		return nil, report, err
	}
	return readDir(t, req.Dir), report, nil
}

func TestStagePrefix(t *testing.T) {
	t.Parallel()
	s := server.Store(t)
	want := map[string]string{
		"a.txt": "first", "deep/er/b.txt": "second", "empty": "", "with space/ü": "third", "Case": "1", "case": "2",
		"big": repeat("0123456789abcdef", 70_000),
	}
	var size int64
	for rel, body := range want {
		put(t, s, "in/data/"+rel, body)
		size += int64(len(body))
	}
	put(t, s, "in/data2/other", "not staged")
	put(t, s, "in/data/marker/", "") // what consoles make for a directory
	want["marker/"] = ""

	for _, source := range []string{"in/data/", "in/data"} {
		got, report, err := stage(t, s, "s3://"+s.Bucket()+"/"+source)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s staged (-want +got):\n%s", source, diff)
		}
		if report.Files != len(want)-1 || report.Bytes != size || report.Fetched != size || report.Hits != 0 {
			t.Errorf("%s report: %+v", source, report)
		}
		if len(report.Noted) != 1 || !strings.Contains(report.Noted[0], "only in case") {
			t.Errorf("%s noted %q", source, report.Noted)
		}
	}
}

func TestStageModes(t *testing.T) {
	t.Parallel()
	s := server.Store(t)
	put(t, s, "in/d/f", "x")
	dir := t.TempDir()
	_, err := artifacts.Stage(t.Context(), artifacts.StageRequest{Store: s, Source: artifacts.Source{Bucket: s.Bucket(), Prefix: "in/"}, Dir: dir, Trusted: true})
	if err != nil {
		t.Fatal(err)
	}
	for rel, most := range map[string]os.FileMode{"d": 0o755, "d/f": 0o644} {
		st, err := os.Lstat(filepath.Join(dir, rel))
		if err != nil || st.Mode().Perm()&^most != 0 || st.Mode().Perm()&0o600 != 0o600 {
			t.Errorf("%s has mode %v, %v", rel, st.Mode(), err)
		}
	}
}

func TestStageRefuses(t *testing.T) {
	t.Parallel()
	s := server.Store(t)
	put(t, s, "in/one", "12345")
	put(t, s, "in/two", "12345")
	put(t, s, "in/d/e/e/p", "1")
	put(t, s, "exact", "an object")
	access, err := artifacts.NewAccess(s.Bucket(), []artifacts.Rule{{Pattern: s.Bucket() + "/in/{tenant}/", Read: true}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		source string
		change func(*artifacts.StageRequest)
		kind   error
		words  []string
	}{
		{"nothing there", "s3://" + s.Bucket() + "/none/", nil, artifacts.ErrNotFound, []string{"none/", s.Bucket()}},
		{"an object, not a prefix", "s3://" + s.Bucket() + "/exact", nil, artifacts.ErrNotFound, []string{"a prefix names a directory"}},
		{"no bucket", "s3://not-a-bucket-here/x/", nil, artifacts.ErrNotFound, []string{"not-a-bucket-here"}},
		{"no tree", "sha256:" + repeat("0", 64), nil, artifacts.ErrNotFound, []string{repeat("0", 64)}},
		{"bytes", "s3://" + s.Bucket() + "/in/", func(r *artifacts.StageRequest) { r.Limits.Bytes = 10 }, artifacts.ErrTooLarge, []string{"10"}},
		{"files", "s3://" + s.Bucket() + "/in/", func(r *artifacts.StageRequest) { r.Limits.Files = 2 }, artifacts.ErrTooLarge, []string{"2 files"}},
		{"depth", "s3://" + s.Bucket() + "/in/", func(r *artifacts.StageRequest) { r.Limits.Depth = 3 }, artifacts.ErrTooLarge, []string{"d/e/e/p"}},
		{"no access", "s3://" + s.Bucket() + "/in/", func(r *artifacts.StageRequest) { r.Trusted = false; r.Tenant = "al" }, artifacts.ErrAccess, []string{"al", "no rules"}},
		{"another tenant's", "s3://" + s.Bucket() + "/in/bob/", func(r *artifacts.StageRequest) { r.Trusted = false; r.Tenant = "al"; r.Access = access }, artifacts.ErrAccess, []string{"al", "in/bob/", "in/{tenant}/"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			change := tc.change
			if change == nil {
				change = func(*artifacts.StageRequest) {}
			}
			_, _, err := stage(t, s, tc.source, change)
			wantError(t, err, tc.kind, artifacts.Permanent, tc.words...)
		})
	}
}

// The store is not trusted with names: a listing that was tampered with must not
// lead a write out of the directory.
func TestStageHostileKeys(t *testing.T) {
	t.Parallel()
	s, proxy := proxied(t)
	put(t, s, "in/harmless", "payload")
	put(t, s, "in/other", "payload")
	for key, why := range map[string]string{
		"in/../../escape": `segment ".."`, "in/..": `segment ".."`, "in/.": `segment "."`, "in/a/../b": `segment ".."`, "in/a/..": `segment ".."`,
		"in//abs": "empty segment", "in/a//b": "empty segment", "/etc/cron.d/x": "not under the prefix", "elsewhere/x": "not under the prefix",
		"in/a\x01b": "control character", "in/line\nbreak": "control character", "in/nul\x00l": "control character", "in/c1\u0085x": "control character",
		"in/\xff\xfe": "not UTF-8", "in/" + repeat("s", 256): "segment of 256 bytes", "in/" + repeat("s/", 600) + "x": "at most 1024",
		"in/other/below": "a file and the directory", "in/other": "there twice", "in/tail/": "ends in a slash and has content",
	} {
		t.Run(strings.ToValidUTF8(key[:min(len(key), 30)], "?"), func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "job")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			proxy.Set(faultproxy.Fault{Name: "hostile", Match: faultproxy.Method("GET", ""), Times: 1, Rewrite: func(b []byte) []byte {
				if !bytes.Contains(b, []byte("<Key>in/harmless</Key>")) || !bytes.Contains(b, []byte("<EncodingType></EncodingType>")) {
					t.Errorf("not the listing that was expected: %s", b)
				}
				b = bytes.Replace(b, []byte("<EncodingType></EncodingType>"), []byte("<EncodingType>url</EncodingType>"), 1)
				return bytes.ReplaceAll(b, []byte("in/harmless"), []byte(url.QueryEscape(key)))
			}})
			_, err := artifacts.Stage(t.Context(), artifacts.StageRequest{Store: s, Source: artifacts.Source{Bucket: s.Bucket(), Prefix: "in/"}, Dir: dir, Trusted: true})
			wantError(t, err, artifacts.ErrInvalidName, artifacts.Permanent, why)
			if got := readDir(t, parent); len(got) != 1 {
				t.Fatalf("written: %v", got)
			}
		})
	}
}

func TestStageSurvivesBrokenDownloads(t *testing.T) {
	t.Parallel()
	s, proxy := proxied(t)
	body := repeat("some content ", 10_000)
	put(t, s, "in/f", body)
	for _, fault := range []faultproxy.Fault{{Name: "truncated", TruncateBody: true}, {Name: "cut", CutResponse: true}, {Name: "busy", Status: 503}} {
		fault.Match, fault.Times = faultproxy.Method("GET", "in/f"), 2
		proxy.Set(fault)
		got, _, err := stage(t, s, "s3://"+s.Bucket()+"/in/")
		if err != nil || got["f"] != body || proxy.Count(fault.Name) != 2 {
			t.Errorf("%s: %d bytes, %v, struck %d times", fault.Name, len(got["f"]), err, proxy.Count(fault.Name))
		}
	}
	proxy.Set(faultproxy.Fault{Match: faultproxy.Method("GET", "in/f"), TruncateBody: true})
	_, _, err := stage(t, s, "s3://"+s.Bucket()+"/in/")
	wantError(t, err, artifacts.ErrUnavailable, artifacts.Transient, "in/f")
	proxy.Set(faultproxy.Fault{Match: faultproxy.Method("GET", "in/f"), Rewrite: func(b []byte) []byte { return b[:len(b)-1] }})
	_, _, err = stage(t, s, "s3://"+s.Bucket()+"/in/")
	wantError(t, err, artifacts.ErrUnavailable, artifacts.Transient, "changed while")
}

func TestTreeRoundTrip(t *testing.T) {
	t.Parallel()
	s, proxy := proxied(t)
	src := t.TempDir()
	want := map[string]string{"a": "same", "b/c": "same", "b/d.txt": "other", "z": ""}
	write(t, src, want)
	if err := os.MkdirAll(filepath.Join(src, "hollow/inner"), 0o755); err != nil {
		t.Fatal(err)
	}
	want["hollow/inner/"] = ""
	calls := 0
	d, stats, err := s.PutTree(t.Context(), src, artifacts.TreeOptions{Progress: func(artifacts.TreeStats) { calls++ }})
	if err != nil {
		t.Fatal(err)
	}
	if stats.Files != 4 || stats.Hashed != 4 || stats.Sent != 3 || stats.Bytes != 13 || stats.SentSize != 9 || calls != 7 {
		t.Errorf("first upload: %+v, %d reports", stats, calls)
	}

	// The same content from elsewhere is the same tree, and costs one request.
	twin := t.TempDir()
	write(t, twin, map[string]string{"z": "", "b/d.txt": "other", "b/c": "same", "a": "same"})
	if err := os.MkdirAll(filepath.Join(twin, "hollow/inner"), 0o700); err != nil {
		t.Fatal(err)
	}
	proxy.Requests()
	again, stats, err := s.PutTree(t.Context(), twin, artifacts.TreeOptions{})
	if err != nil || again != d || stats.Sent != 0 {
		t.Errorf("the twin: %s, %+v, %v; want %s", again, stats, err, d)
	}
	if r := proxy.Requests(); len(r) != 1 {
		t.Errorf("requests for a known tree: %q", r)
	}

	// A change sends what changed, and the document.
	write(t, src, map[string]string{"a": "changed"})
	third, stats, err := s.PutTree(t.Context(), src, artifacts.TreeOptions{})
	if err != nil || third == d || stats.Sent != 1 {
		t.Errorf("a change: %s, %+v, %v", third, stats, err)
	}

	got, report, err := stage(t, s, string(d))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("staged (-want +got):\n%s", diff)
	}
	if report.Files != 4 || report.Bytes != 13 {
		t.Errorf("report %+v", report)
	}

	cache := mustOpenCache(t, t.TempDir(), 1<<20)
	for i, fetched := range []bool{true, false} {
		got, report, err := stage(t, s, string(d), func(r *artifacts.StageRequest) { r.Cache = cache })
		if err != nil || !cmp.Equal(want, got) || (report.Fetched > 0) != fetched {
			t.Errorf("through the cache, %d: %v, %+v, %v", i, got, report, err)
		}
	}
}

func TestPutTreeRefuses(t *testing.T) {
	t.Parallel()
	s := server.Store(t)
	for _, tc := range []struct {
		name string
		make func(dir string) error
		kind error
		word string
	}{
		{"link", func(d string) error { return os.Symlink("/etc/passwd", filepath.Join(d, "innocent")) }, artifacts.ErrInvalid, "innocent is a symbolic link"},
		{"pipe", func(d string) error { return mkfifo(filepath.Join(d, "pipe")) }, artifacts.ErrInvalid, "pipe"},
		{"name", func(d string) error { return os.WriteFile(filepath.Join(d, "new\nline"), nil, 0o600) }, artifacts.ErrInvalidName, "new\\nline"},
		{"not UTF-8", func(d string) error { return os.WriteFile(filepath.Join(d, "\xff"), nil, 0o600) }, artifacts.ErrInvalidName, "UTF-8"},
		{"too many", func(d string) error {
			return errors.Join(os.WriteFile(filepath.Join(d, "1"), nil, 0o600), os.WriteFile(filepath.Join(d, "2"), nil, 0o600), os.WriteFile(filepath.Join(d, "3"), nil, 0o600))
		}, artifacts.ErrTooLarge, "2 files"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := tc.make(dir); err != nil {
				t.Fatal(err)
			}
			_, _, err := s.PutTree(t.Context(), dir, artifacts.TreeOptions{Limits: artifacts.Limits{Files: 2}})
			wantError(t, err, tc.kind, artifacts.Permanent, tc.word)
		})
	}
	_, _, err := s.PutTree(t.Context(), filepath.Join(t.TempDir(), "none"), artifacts.TreeOptions{})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

func TestStageHostileTree(t *testing.T) {
	t.Parallel()
	s := server.Store(t)
	blob := putBlob(t, s, "content")
	file := func(path, size string) string {
		return `{"version":1,"files":[{"path":"` + path + `","size":` + size + `,"digest":"` + string(blob) + `"}]}`
	}
	for name, tc := range map[string]struct {
		doc  string
		kind error
	}{
		"escape":         {file("../x", "7"), artifacts.ErrInvalidName},
		"absolute":       {file("/etc/x", "7"), artifacts.ErrInvalidName},
		"smaller":        {file("x", "6"), artifacts.ErrTooLarge},
		"larger":         {file("x", "8"), artifacts.ErrInvalid},
		"negative":       {file("x", "-1"), artifacts.ErrInvalid},
		"overflow":       {file("x", "9223372036854775807"), artifacts.ErrTooLarge},
		"sum overflows":  {`{"version":1,"files":[{"path":"x","size":7,"digest":"` + string(blob) + `"},{"path":"y","size":9223372036854775807,"digest":"` + string(blob) + `"}]}`, artifacts.ErrTooLarge},
		"not JSON":       {"content", artifacts.ErrInvalid},
		"followed":       {file("x", "7") + "{}", artifacts.ErrInvalid},
		"other version":  {`{"version":2,"files":[]}`, artifacts.ErrInvalid},
		"unknown field":  {`{"version":1,"files":[],"mode":7}`, artifacts.ErrInvalid},
		"bad digest":     {`{"version":1,"files":[{"path":"x","size":1,"digest":"sha256:../../x"}]}`, artifacts.ErrInvalidName},
		"missing blob":   {`{"version":1,"files":[{"path":"x","size":1,"digest":"sha256:` + repeat("1", 64) + `"}]}`, artifacts.ErrNotFound},
		"dir of a file":  {`{"version":1,"files":[{"path":"x","size":7,"digest":"` + string(blob) + `"}],"dirs":["x/y"]}`, artifacts.ErrInvalidName},
		"dir out of it":  {`{"version":1,"files":[],"dirs":["../y"]}`, artifacts.ErrInvalidName},
		"dir twice":      {`{"version":1,"files":[],"dirs":["y","y"]}`, artifacts.ErrInvalid},
		"dir not empty":  {`{"version":1,"files":[{"path":"x/z","size":7,"digest":"` + string(blob) + `"}],"dirs":["x"]}`, artifacts.ErrInvalid},
		"file and dir":   {`{"version":1,"files":[{"path":"x","size":7,"digest":"` + string(blob) + `"},{"path":"x/z","size":7,"digest":"` + string(blob) + `"}]}`, artifacts.ErrInvalidName},
		"file twice":     {`{"version":1,"files":[{"path":"x","size":7,"digest":"` + string(blob) + `"},{"path":"x","size":7,"digest":"` + string(blob) + `"}]}`, artifacts.ErrInvalid},
		"descending":     {`{"version":1,"files":[{"path":"y","size":7,"digest":"` + string(blob) + `"},{"path":"x","size":7,"digest":"` + string(blob) + `"}]}`, artifacts.ErrInvalid},
		"names a tree":   {string(blob), artifacts.ErrInvalid},
		"nothing at all": {"", artifacts.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := putBlob(t, s, tc.doc)
			_, _, err := stage(t, s, string(d))
			wantError(t, err, tc.kind, artifacts.Permanent)
			cache := mustOpenCache(t, t.TempDir(), 1<<20)
			_, _, err = stage(t, s, string(d), func(r *artifacts.StageRequest) { r.Cache = cache })
			wantError(t, err, tc.kind, artifacts.Permanent)
			_, _, err = cache.Tree(t.Context(), s, d, artifacts.Limits{})
			wantError(t, err, tc.kind, artifacts.Permanent)
			if left := readDir(t, filepath.Join(cache.Dir(), "trees")); len(left) != 0 {
				t.Errorf("left in the cache: %v", left)
			}
		})
	}
}
