package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sync/errgroup"
)

const (
	testAccess = "tester"
	testSecret = "a secret of the test"
	bucket     = "things"
)

// TestMain lets the test binary be the server: a process of its own, as in use,
// without a build step.
func TestMain(m *testing.M) {
	if os.Getenv("DEVS3_TEST_SERVER") == "1" {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stderr))
	}
	os.Exit(m.Run())
}

type server struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	addr   string
	exited chan error
	stderr *bytes.Buffer
}

func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "DEVS3_TEST_SERVER=1", secretVariable+"="+testSecret)
	return cmd
}

func start(t *testing.T, data string, extra ...string) *server {
	t.Helper()
	readyFile := filepath.Join(t.TempDir(), "ready.json")
	cmd := command(append([]string{"--data", data, "--access", testAccess, "--ready-file", readyFile, "--exit-on-stdin-close"}, extra...)...)
	s := &server{cmd: cmd, exited: make(chan error, 1), stderr: &bytes.Buffer{}}
	cmd.Stderr = s.stderr
	var err error
	if s.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.exited <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	deadline := time.After(20 * time.Second)
	for {
		if b, err := os.ReadFile(readyFile); err == nil {
			var r ready
			if err := json.Unmarshal(b, &r); err != nil {
				t.Fatalf("ready file %q: %v", b, err)
			}
			if r.PID != cmd.Process.Pid || !strings.HasPrefix(r.Address, "127.0.0.1:") || strings.HasSuffix(r.Address, ":0") {
				t.Fatalf("ready file says %+v for process %d", r, cmd.Process.Pid)
			}
			s.addr = r.Address
			return s
		}
		select {
		case err := <-s.exited:
			t.Fatalf("server ended before it was ready: %v\n%s", err, s.stderr)
		case <-deadline:
			t.Fatal("server not ready after 20 s")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *server) wait(t *testing.T) {
	t.Helper()
	select {
	case err := <-s.exited:
		if err != nil {
			t.Fatalf("server ended with %v\n%s", err, s.stderr)
		}
	case <-time.After(15 * time.Second):
		t.Fatal("server still runs after 15 s")
	}
}

func (s *server) client(t *testing.T, secret string) *minio.Client {
	t.Helper()
	c, err := minio.New(s.addr, &minio.Options{
		Creds: credentials.NewStaticV4(testAccess, secret, ""), Region: "us-east-1",
		BucketLookup: minio.BucketLookupPath, MaxRetries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func put(ctx context.Context, c *minio.Client, key string, body []byte, opts minio.PutObjectOptions) error {
	_, err := c.PutObject(ctx, bucket, key, bytes.NewReader(body), int64(len(body)), opts)
	return err
}

func get(ctx context.Context, c *minio.Client, key string) ([]byte, error) {
	o, err := c.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer o.Close()
	return io.ReadAll(o)
}

func TestServer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := start(t, t.TempDir())
	c := s.client(t, testSecret)
	if err := c.MakeBucket(ctx, bucket, minio.MakeBucketOptions{Region: "us-east-1"}); err != nil {
		t.Fatal(err)
	}

	t.Run("a wrong secret is refused", func(t *testing.T) {
		err := put(ctx, s.client(t, "another secret"), "intruder", []byte("x"), minio.PutObjectOptions{})
		if code := minio.ToErrorResponse(err).Code; code != "SignatureDoesNotMatch" {
			t.Fatalf("put with a wrong secret: %v (code %q)", err, code)
		}
		if _, err := c.StatObject(ctx, bucket, "intruder", minio.StatObjectOptions{}); minio.ToErrorResponse(err).Code != "NoSuchKey" {
			t.Fatalf("the refused object: %v", err)
		}
	})

	t.Run("of many conditional puts one wins", func(t *testing.T) {
		const writers = 16
		var opts minio.PutObjectOptions
		opts.SetMatchETagExcept("*")
		won := make(chan string, writers)
		var g errgroup.Group
		for i := range writers {
			g.Go(func() error {
				body := fmt.Sprintf("writer %d", i)
				err := put(ctx, c, "fence/manifest.json", []byte(body), opts)
				if err == nil {
					won <- body
					return nil
				}
				if r := minio.ToErrorResponse(err); r.StatusCode != 412 {
					return fmt.Errorf("loser got %d %s: %w", r.StatusCode, r.Code, err)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if len(won) != 1 {
			t.Fatalf("%d writers won", len(won))
		}
		if b, err := get(ctx, c, "fence/manifest.json"); err != nil || string(b) != <-won {
			t.Fatalf("stored %q, %v", b, err)
		}
	})

	t.Run("multipart keeps every byte", func(t *testing.T) {
		body := make([]byte, 11<<20+17)
		if _, err := rand.Read(body); err != nil {
			t.Fatal(err)
		}
		if err := put(ctx, c, "big/object", body, minio.PutObjectOptions{PartSize: 5 << 20}); err != nil {
			t.Fatal(err)
		}
		got, err := get(ctx, c, "big/object")
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("read %d bytes back, equal %v, %v", len(got), bytes.Equal(got, body), err)
		}
	})

	t.Run("listing pages past a thousand keys", func(t *testing.T) {
		const keys = 1203
		var g errgroup.Group
		g.SetLimit(8)
		for i := range keys {
			g.Go(func() error {
				return put(ctx, c, fmt.Sprintf("many/%05d", i), nil, minio.PutObjectOptions{})
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		n := 0
		for o := range c.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: "many/", Recursive: true}) {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			if want := fmt.Sprintf("many/%05d", n); o.Key != want {
				t.Fatalf("key %d is %q, want %q", n, o.Key, want)
			}
			n++
		}
		if n != keys {
			t.Fatalf("listed %d of %d keys", n, keys)
		}
	})

	t.Run("copy works", func(t *testing.T) {
		if err := put(ctx, c, "from", []byte("copied"), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
		_, err := c.CopyObject(ctx, minio.CopyDestOptions{Bucket: bucket, Object: "to"}, minio.CopySrcOptions{Bucket: bucket, Object: "from"})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := get(ctx, c, "to"); err != nil || string(b) != "copied" {
			t.Fatalf("copy reads %q, %v", b, err)
		}
	})
}

func TestRestartKeepsData(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	data := t.TempDir()
	ends := map[string]func(*server) error{
		"SIGTERM": func(s *server) error { return s.cmd.Process.Signal(syscall.SIGTERM) },
		// What a dying parent leaves behind.
		"stdin closed": func(s *server) error { return s.stdin.Close() },
	}
	var opts minio.PutObjectOptions
	opts.SetMatchETagExcept("*")
	opts.UserMetadata = map[string]string{"Origin": "first run"}
	first := true
	for name, end := range ends {
		s := start(t, data)
		c := s.client(t, testSecret)
		if first {
			if err := c.MakeBucket(ctx, bucket, minio.MakeBucketOptions{Region: "us-east-1"}); err != nil {
				t.Fatal(err)
			}
			if err := put(ctx, c, "kept", []byte("still here"), opts); err != nil {
				t.Fatal(err)
			}
			first = false
		}
		if err := put(ctx, c, "kept", []byte("overwritten"), opts); minio.ToErrorResponse(err).StatusCode != 412 {
			t.Fatalf("%s: conditional put over a kept object: %v", name, err)
		}
		b, err := get(ctx, c, "kept")
		if err != nil || string(b) != "still here" {
			t.Fatalf("%s: %q, %v", name, b, err)
		}
		info, err := c.StatObject(ctx, bucket, "kept", minio.StatObjectOptions{})
		if err != nil || info.UserMetadata["Origin"] != "first run" {
			t.Fatalf("%s: metadata %v, %v", name, info.UserMetadata, err)
		}
		if err := end(s); err != nil {
			t.Fatal(err)
		}
		s.wait(t)
	}
}

func TestOneServerPerDirectory(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	start(t, data)
	out, err := command("--data", data).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitError || !strings.Contains(string(out), "in use by another server") {
		t.Fatalf("second server: %v, %s", err, out)
	}
}

func TestRefusedFlags(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for _, tc := range []struct {
		name, want string
		args       []string
		env        string
	}{
		{"no data", "--data is required", nil, ""},
		{"all interfaces", "not a loopback", []string{"--data", data, "--listen", ":0"}, ""},
		{"a public address", "not a loopback", []string{"--data", data, "--listen", "192.0.2.1:80"}, ""},
		{"a name", "not a loopback", []string{"--data", data, "--listen", "localhost:0"}, ""},
		{"no port", "host:port", []string{"--data", data, "--listen", "127.0.0.1"}, ""},
		{"stray word", "unexpected argument", []string{"--data", data, "serve"}, ""},
		{"no secret", "no secret key", []string{"--data", data}, secretVariable + "="},
		{"missing secret file", "read --secret-file", []string{"--data", data, "--secret-file", filepath.Join(data, "none")}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cmd := command(tc.args...)
			if tc.env != "" {
				cmd.Env = append(cmd.Env, tc.env)
			}
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != exitUsage || !strings.Contains(string(out), tc.want) {
				t.Fatalf("got %v, %q; want exit %d naming %q", err, out, exitUsage, tc.want)
			}
		})
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	readyFile := filepath.Join(t.TempDir(), "ready.json")
	out, err := command("--data", t.TempDir(), "--listen", s.addr, "--ready-file", readyFile).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitError || !strings.Contains(string(out), "address already in use") {
		t.Fatalf("second server on %s: %v, %s", s.addr, err, out)
	}
	if _, err := os.Stat(readyFile); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("ready file of a server that never was: %v", err)
	}
}
