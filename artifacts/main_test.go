package artifacts_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"boxfleet/artifacts"
	"boxfleet/artifacts/storetest"
	"boxfleet/internal/faultproxy"

	"go.uber.org/goleak"
)

var server *storetest.Server

// TestMain runs the tests, or one of the functions in children when the test
// binary was started by child.
func TestMain(m *testing.M) {
	if name := os.Getenv("ARTIFACTS_TEST_CHILD"); name != "" {
		if err := children[name](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := storetest.Main(m, &server)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// child returns the test binary set to run one of children instead of tests.
func child(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "ARTIFACTS_TEST_CHILD="+name)
	return cmd
}

// proxied returns a store that reaches the server through a proxy.
func proxied(t *testing.T, change ...func(*artifacts.Config)) (*artifacts.Store, *faultproxy.HTTP) {
	t.Helper()
	p, err := faultproxy.StartHTTP(server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return server.StoreVia(t, p.Addr(), change...), p
}

// put stores an object and fails the test if it cannot.
func put(t *testing.T, s *artifacts.Store, key, body string) {
	t.Helper()
	if err := s.Put(t.Context(), "", key, []byte(body)); err != nil {
		t.Fatal(err)
	}
}

// putBlob stores a blob and returns its digest.
func putBlob(t *testing.T, s *artifacts.Store, body string) artifacts.Digest {
	t.Helper()
	d, err := s.PutBlobBytes(t.Context(), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// write makes files below dir from path, content pairs.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// readDir returns the regular files below dir by path, and its empty
// directories with a slash at the end.
func readDir(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if e.IsDir() {
			sub, err := os.ReadDir(p)
			if len(sub) == 0 {
				got[rel+"/"] = ""
			}
			return err
		}
		b, err := os.ReadFile(p)
		got[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// wantError checks kind, class and that the text names each word.
func wantError(t *testing.T, err, kind error, class artifacts.FailureClass, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error %v, want kind %v", err, kind)
	}
	if got := artifacts.Class(err); got != class {
		t.Errorf("error %v is %v, want %v", err, got, class)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not name %q", err, w)
		}
	}
}

func mustOpenCache(t *testing.T, dir string, limit int64) *artifacts.Cache {
	t.Helper()
	c, err := artifacts.OpenCache(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func repeat(s string, n int) string { return string(bytes.Repeat([]byte(s), n)) }

// cleanContext is the context of a child process.
func cleanContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}
