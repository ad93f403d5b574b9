package tarball

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// archive makes a tarball with a link of the file's name before the file.
func archive(t *testing.T, name, content string) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	files := tar.NewWriter(zipped)
	for _, head := range []*tar.Header{
		{Name: name, Typeflag: tar.TypeSymlink, Linkname: "/etc/hostname"},
		{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))},
	} {
		if err := files.WriteHeader(head); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := files.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestFile takes files out of a tarball that is there, on a machine without npm,
// and so never reaches for the network.
func TestFile(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	good := archive(t, "package/a.wasm", "the module")
	sum := sha512.Sum512(good)
	p := Package{Name: "@scope/tool", Version: "1.2.3", Integrity: "sha512-" + base64.StdEncoding.EncodeToString(sum[:]), Size: int64(len(good))}
	changed := bytes.Clone(good)
	changed[len(changed)/2] ^= 1
	other := p
	other.Integrity = "sha512-" + base64.StdEncoding.EncodeToString(make([]byte, 64))
	cut := good[:len(good)/2]
	cutSum := sha512.Sum512(cut)
	cutPackage := Package{Name: p.Name, Version: p.Version, Integrity: "sha512-" + base64.StdEncoding.EncodeToString(cutSum[:]), Size: int64(len(cut))}
	tests := []struct {
		name    string
		p       Package
		tarball []byte // nil: none there
		file    string
		max     int64
		says    string // of the error; empty: none
	}{
		{"as it should be", p, good, "package/a.wasm", 10, ""},
		{"no such file", p, good, "package/b.wasm", 10, "no file package/b.wasm"},
		{"a larger file", p, good, "package/a.wasm", 9, "has 10 bytes: want at most 9"},
		{"a changed tarball", p, changed, "package/a.wasm", 10, "without npm, put the tarball at"},
		{"a longer tarball", p, append(bytes.Clone(good), 0), "package/a.wasm", 10, "without npm"},
		{"another package's", other, good, "package/a.wasm", 10, "without npm"},
		{"none", p, nil, "package/a.wasm", 10, "scope-tool-1.2.3.tgz"},
		{"a broken one of the right digest", cutPackage, cut, "package/a.wasm", 10, "unpack @scope/tool@1.2.3"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "downloads")
			if test.tarball != nil {
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "scope-tool-1.2.3.tgz"), test.tarball, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := test.p.File(context.Background(), dir, test.file, test.max)
			if test.says == "" && (err != nil || string(got) != "the module") {
				t.Errorf("got %q, %v", got, err)
			}
			if test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("got %q, %v; want an error with %q", got, err, test.says)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) > 0 {
				t.Errorf("left over: %q", left)
			}
		})
	}
}
