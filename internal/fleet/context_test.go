package fleet

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestContextRoundTrip(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	t.Setenv(EnvContext, "")
	if _, err := Load(""); !errors.Is(err, ErrNoContext) {
		t.Fatalf("no context gave %v; want ErrNoContext", err)
	}
	dir := t.TempDir()
	want := Context{
		NATS: NATS{URL: "nats://127.0.0.1:1", User: "u", Password: "p"},
		S3:   S3{Endpoint: "http://127.0.0.1:2", AccessKey: "a", SecretKey: "s", Bucket: "b"},
		HTTP: "http://127.0.0.1:3",
	}
	path, err := want.Save(dir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; credentials must be 0600", info.Mode(), err)
	}
	if err := MakeCurrent(path); err != nil {
		t.Fatal(err)
	}
	want.Path = path
	check := func(how, arg string) {
		t.Helper()
		got, err := Load(arg)
		if err != nil || *got != want {
			t.Errorf("%s: %+v, %v; want %+v", how, got, err, want)
		}
	}
	check("current", "")
	check("by file", path)
	check("by directory", dir)
	t.Setenv(EnvContext, dir)
	check("by environment", "")

	t.Setenv(EnvContext, "")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(""); !errors.Is(err, ErrNoContext) || !strings.Contains(err.Error(), path) {
		t.Errorf("a current context that is gone gave %v; want its path", err)
	}
}

func TestContextThatIsWrong(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, []byte(`{"nats": {"ulr": "nats://x"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), `nats.ulr: unknown field; did you mean "url"?`) {
		t.Errorf("error %v; want the field and the nearest name", err)
	}
}
