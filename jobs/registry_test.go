package jobs

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"boxfleet/artifacts"
)

func manifest(name, version, fill string) Manifest {
	return Manifest{Name: name, Version: version, Digest: artifacts.Digest("sha256:" + strings.Repeat(fill, 32)), Size: 1, Kind: "wasip1-command"}
}

func TestVersionsNeverChange(t *testing.T) {
	f := newFleet(t)
	if created, err := f.client.Register(f.ctx, manifest("jq", "1.0.0", "aa")); err != nil || !created {
		t.Fatal(created, err)
	}
	if created, err := f.client.Register(f.ctx, manifest("jq", "1.0.0", "aa")); err != nil || created {
		t.Errorf("the same again: %v, %v", created, err)
	}
	if _, err := f.client.Register(f.ctx, manifest("jq", "1.0.0", "bb")); err == nil || !strings.Contains(err.Error(), "versions never change") {
		t.Errorf("another module: %v", err)
	}
	if m, err := f.client.Resolve(f.ctx, "jq@1.0.0"); err != nil || m.Digest != manifest("", "", "aa").Digest {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestResolve(t *testing.T) {
	f := newFleet(t)
	for _, v := range []string{"1.10.0", "1.9.0", "1.10.0-rc.1", "1.2"} {
		if _, err := f.client.Register(f.ctx, manifest("jq", v, "a"+v[len(v)-1:])); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.client.Register(f.ctx, manifest("grep", "9.9", "cc")); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{
		"jq": "jq@1.10.0", "jq@1.9.0": "jq@1.9.0", "grep": "grep@9.9", "sha256:" + strings.Repeat("cc", 32): "grep@9.9",
	} {
		if m, err := f.client.Resolve(f.ctx, ref); err != nil || m.Tool().String() != want {
			t.Errorf("%s is %+v, %v", ref, m, err)
		}
	}
	var missing *NotFoundError
	for _, ref := range []string{"jqq", "jq@7", "sha256:" + strings.Repeat("00", 32)} {
		if _, err := f.client.Resolve(f.ctx, ref); !errors.As(err, &missing) || !strings.Contains(missing.Hint, "grep@9.9") {
			t.Errorf("%s: %v", ref, err)
		}
	}
	for _, ref := range []string{"", "JQ", "jq@", "jq@a b", "a/b", "jq@1@2"} {
		if _, err := f.client.Resolve(f.ctx, ref); err == nil || errors.As(err, &missing) {
			t.Errorf("%q: %v", ref, err)
		}
	}
	for _, m := range []Manifest{manifest("Jq", "1", "aa"), manifest("jq", "-1", "aa"), manifest("jq", "1.", "aa"), {Name: "jq", Version: "3", Digest: "sha256:x"}} {
		if _, err := f.client.Register(f.ctx, m); err == nil {
			t.Errorf("%s@%s %s was registered", m.Name, m.Version, m.Digest)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	// The order of Semantic Versioning 2.0.0, section 11, and some that do not
	// follow it.
	order := []string{"0.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
		"1.0.0-rc.1", "1.0.0", "1.0.1", "1.2", "1.2.0", "1.10.0", "2024.1", "2024.12"}
	for i, a := range order {
		for j, b := range order {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := CompareVersions(a, b); got != want {
				t.Errorf("%s against %s: %d, want %d", a, b, got, want)
			}
		}
	}
	if !slices.IsSortedFunc(order, CompareVersions) {
		t.Error("not sorted")
	}
}
