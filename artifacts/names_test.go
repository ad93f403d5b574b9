package artifacts_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/artifacts"
)

func TestParseDigest(t *testing.T) {
	t.Parallel()
	good := artifacts.DigestBytes(nil)
	if d, err := artifacts.ParseDigest(string(good)); err != nil || d != good {
		t.Fatalf("%s, %v", d, err)
	}
	if good != "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Fatalf("digest of nothing is %s", good)
	}
	for _, s := range []string{"", "sha256:", "e3b0", string(good)[7:], string(good) + "0", strings.ToUpper(string(good)), "md5:" + good.Hex(), "sha256:" + repeat("g", 64), "sha256:" + repeat("../", 21) + "x"} {
		if _, err := artifacts.ParseDigest(s); !errors.Is(err, artifacts.ErrInvalidName) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestParseSource(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + repeat("a", 64)
	for in, want := range map[string]artifacts.Source{
		"s3://bucket/a/b/": {Bucket: "bucket", Prefix: "a/b/"},
		"s3://bucket/a/b":  {Bucket: "bucket", Prefix: "a/b/"},
		"s3://bucket/":     {Bucket: "bucket"},
		"s3://bucket":      {Bucket: "bucket"},
		digest:             {Tree: artifacts.Digest(digest)},
	} {
		got, err := artifacts.ParseSource(in)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"", "/local/dir", "s3:/x", "S3://bucket/", "https://bucket/x", "s3://", "s3:///x", "s3://UPPER/x", "s3://b/x", "s3://bucket/../x",
		"s3://bucket//x", "s3://bucket/a//", "s3://bucket/a\x00", "s3://bucket/a\nb", "s3://bucket/\xff", "s3://user@bucket/x", "sha256:xyz", "sha256:", "s3://bucket/" + repeat("k", 1025),
	} {
		if s, err := artifacts.ParseSource(in); !errors.Is(err, artifacts.ErrInvalidName) {
			t.Errorf("%q: %+v, %v", in, s, err)
		}
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	rules := []artifacts.Rule{}
	for _, s := range []string{"r:boxfleet/inputs/{tenant}/", "rw:boxfleet/outputs/{tenant}/", "r:shared/", "w:team-{tenant}/drop/", "rw:boxfleet/"} {
		r, err := artifacts.ParseRule(s)
		if err != nil || r.String() != s {
			t.Fatalf("%q: %v, %v", s, r, err)
		}
		rules = append(rules, r)
	}
	narrow, err := artifacts.NewAccess("boxfleet", rules[:4], "boxfleet/tools/")
	if err != nil {
		t.Fatal(err)
	}
	wide, err := artifacts.NewAccess("boxfleet", rules, "boxfleet/tools/")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		access       artifacts.Access
		tenant, name string
		read, write  bool
	}{
		{narrow, "al", "boxfleet/inputs/al/", true, false},
		{narrow, "al", "boxfleet/inputs/al/x/y", true, false},
		{narrow, "al", "boxfleet/inputs/al", false, false},
		{narrow, "al", "boxfleet/inputs/", false, false},
		{narrow, "al", "boxfleet/inputs/alice/x", false, false},
		{narrow, "al", "boxfleet/inputs/al/../alice/x", false, false},
		{narrow, "al", "boxfleet/inputs/al//x", false, false},
		{narrow, "al", "boxfleet/inputs/al/./x", false, false},
		{narrow, "al", "boxfleet/inputs/AL/x", false, false},
		{narrow, "al", "boxfleet/outputs/al/x", true, true},
		{narrow, "al", "shared/anything", true, false},
		{narrow, "al", "shared/", true, false},
		{narrow, "al", "team-al/drop/x", false, true},
		{narrow, "al", "team-bob/drop/x", false, false},
		{narrow, "al", "elsewhere/x", false, false},
		{narrow, "../bob", "boxfleet/inputs/../bob/x", false, false},
		{narrow, "a/b", "boxfleet/inputs/a/b/x", false, false},
		{narrow, "", "boxfleet/inputs//x", false, false},
		{narrow, "{tenant}", "boxfleet/inputs/{tenant}/x", false, false},
		{wide, "al", "boxfleet/anything", true, true},
		// Reserved places stay closed, from within and from above.
		{wide, "al", "boxfleet/blobs/sha256/00", false, false},
		{wide, "al", "boxfleet/blobs/", false, false},
		{wide, "al", "boxfleet/", false, false},
		{wide, "al", "boxfleet/tools/x.wasm", false, false},
		{artifacts.Access{}, "al", "boxfleet/inputs/al/x", false, false},
	} {
		bucket, key, _ := strings.Cut(tc.name, "/")
		for write, want := range map[bool]bool{false: tc.read, true: tc.write} {
			err := tc.access.Check(tc.tenant, bucket, key, write)
			if (err == nil) != want || err != nil && !errors.Is(err, artifacts.ErrAccess) {
				t.Errorf("%q write=%v %s: %v, want allowed %v", tc.tenant, write, tc.name, err, want)
			}
		}
	}
	err = narrow.Check("al", "boxfleet", "secret/x", false)
	wantError(t, err, artifacts.ErrAccess, artifacts.Permanent, "al", "s3://boxfleet/secret/x", "r:boxfleet/inputs/{tenant}/")
	for _, r := range artifacts.DefaultRules("boxfleet") {
		if _, err := artifacts.ParseRule(r.String()); err != nil {
			t.Errorf("default rule %s: %v", r, err)
		}
	}
	for _, s := range []string{"", "boxfleet/x/", "x:boxfleet/x/", "r:boxfleet/x", "r:/x/", "r:boxfleet/../x/", "r:boxfleet//", "r:boxfleet/*/", "r:boxfleet/{user}/", "r:BOX/x/", "wr:boxfleet/x/", "r:", "r:boxfleet/a\x00/"} {
		if r, err := artifacts.ParseRule(s); !errors.Is(err, artifacts.ErrInvalid) {
			t.Errorf("%q: %v, %v", s, r, err)
		}
	}
}

func FuzzParseSource(f *testing.F) {
	for _, s := range []string{"s3://bucket/a/b/", "s3://bucket", "sha256:" + repeat("a", 64), "s3://bucket/../x", "s3://bucket/a\x00/", "s3:///", "sha256:", "s3://bucket//"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		src, err := artifacts.ParseSource(s)
		if err != nil {
			return
		}
		again, err := artifacts.ParseSource(src.String())
		if err != nil || again != src {
			t.Fatalf("%q became %q, which reads %+v, %v", s, src, again, err)
		}
		if (src.Tree == "") == (src.Bucket == "") {
			t.Fatalf("%q is both or neither: %+v", s, src)
		}
		if strings.Contains(src.Prefix, "..") && strings.Contains("/"+src.Prefix, "/../") {
			t.Fatalf("%q keeps a parent: %+v", s, src)
		}
	})
}

func FuzzRelPath(f *testing.F) {
	for _, s := range [][2]string{{"in/", "in/a/b"}, {"in/", "in/../x"}, {"", "/abs"}, {"in/", "in//x"}, {"in/", "in/a\x00"}, {"in/", "in/" + repeat("x", 300)}, {"", "."}, {"", "a/."}, {"", "\xff"}} {
		f.Add(s[0], s[1])
	}
	const base = "/base/dir"
	f.Fuzz(func(t *testing.T, prefix, key string) {
		rel, err := artifacts.RelPath(prefix, key)
		if err != nil {
			if !errors.Is(err, artifacts.ErrInvalidName) {
				t.Fatalf("%q: kind of %v", key, err)
			}
			return
		}
		if prefix+rel != key {
			t.Fatalf("%q under %q became %q", key, prefix, rel)
		}
		joined := filepath.Join(base, filepath.FromSlash(rel))
		if joined != base+"/"+rel || !filepath.IsLocal(rel) {
			t.Fatalf("%q leads to %q", rel, joined)
		}
	})
}

func FuzzDecodeTree(f *testing.F) {
	digest := "sha256:" + repeat("a", 64)
	for _, s := range []string{
		`{"version":1,"files":[]}`, `{"version":1,"files":[{"path":"a","size":1,"digest":"` + digest + `"}],"dirs":["b/c"]}`,
		`{"version":1,"files":[{"path":"../a","size":1,"digest":"` + digest + `"}]}`, `{"version":1,"files":[{"path":"a","size":9223372036854775807,"digest":"` + digest + `"},{"path":"b","size":1,"digest":"` + digest + `"}]}`,
		`{}`, `null`, `[`, `{"version":1,"files":null,"dirs":["a","a/b"]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		limits := artifacts.Limits{Bytes: 1 << 20, Files: 100, Depth: 10}
		tree, err := artifacts.DecodeTree(doc, limits)
		if err != nil {
			return
		}
		if n := tree.Bytes(); n < 0 || n > limits.Bytes || len(tree.Files)+len(tree.Dirs) > limits.Files {
			t.Fatalf("%d bytes in %d files over the limits", n, len(tree.Files))
		}
		isFile := map[string]bool{}
		for _, file := range tree.Files {
			if !filepath.IsLocal(file.Path) || isFile[file.Path] {
				t.Fatalf("path %q", file.Path)
			}
			isFile[file.Path] = true
		}
		for _, p := range append(tree.Dirs, func() (all []string) {
			for p := range isFile {
				all = append(all, filepath.Dir(p))
			}
			return all
		}()...) {
			for ; p != "." && p != "/"; p = filepath.Dir(p) {
				if isFile[p] {
					t.Fatalf("%q is a file and a directory", p)
				}
			}
		}
		// What was accepted is accepted again as it would be written.
		b, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := artifacts.DecodeTree(b, limits); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
	})
}

func FuzzAccess(f *testing.F) {
	f.Add("r:boxfleet/inputs/{tenant}/", "al", "boxfleet", "inputs/al/x", false)
	f.Add("rw:boxfleet/", "al", "boxfleet", "blobs/sha256/x", true)
	f.Add("rw:boxfleet/", "al", "boxfleet", "", true)
	f.Add("w:team-{tenant}/", "bob", "team-bob", "x/../y", true)
	f.Fuzz(func(t *testing.T, rule, tenant, bucket, key string, write bool) {
		r, err := artifacts.ParseRule(rule)
		if err != nil {
			return
		}
		a, err := artifacts.NewAccess("boxfleet", []artifacts.Rule{r})
		if err != nil {
			t.Fatalf("rule %q parses but is refused: %v", rule, err)
		}
		if a.Check(tenant, bucket, key, write) != nil {
			return
		}
		place := bucket + "/" + key
		switch {
		case !strings.HasPrefix(place, strings.ReplaceAll(r.Pattern, "{tenant}", tenant)):
			t.Fatalf("%q lets %q to %q", rule, tenant, place)
		case write && !r.Write, !write && !r.Read:
			t.Fatalf("%q lets %q write=%v", rule, tenant, write)
		case strings.HasPrefix(place, "boxfleet/blobs/"), place == "boxfleet/":
			t.Fatalf("%q opens %q", rule, place)
		case strings.ContainsAny(tenant, "/.{}"), strings.Contains("/"+key+"/", "/../"):
			t.Fatalf("%q lets %q to %q", rule, tenant, place)
		}
	})
}
