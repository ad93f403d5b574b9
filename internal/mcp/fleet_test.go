package mcp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"boxfleet/artifacts"
	"boxfleet/artifacts/storetest"
	"boxfleet/internal/fleet"
	"boxfleet/internal/natstest"
	"boxfleet/jobs"
)

// The fleet of this test binary: a real NATS server and a real S3 server over
// sockets, and a real jobs.Worker. Its handler does what a test tells it for a
// tool, so that tests can have results no honest worker gives. Real workers
// and real guests are in process_test.go.
var theFleet *testFleet

type guest func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error)

type testFleet struct {
	dir    string // of its context file
	store  *artifacts.Store
	nc     *nats.Conn
	js     jetstream.JetStream
	mu     sync.Mutex
	guests map[string]guest
}

func TestMain(m *testing.M) {
	code, err := withFleet(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// withFleet runs the tests with a fleet, and looks afterwards whether a
// goroutine was left behind.
func withFleet(m *testing.M) (code int, err error) {
	dir, remove, err := natstest.TempDir()
	if err != nil {
		return 1, err
	}
	defer remove()
	s3, err := storetest.Start("")
	if err != nil {
		return 1, err
	}
	queue, err := natstest.Open(filepath.Join(dir, "nats"))
	if err != nil {
		return 1, errors.Join(err, s3.Stop())
	}
	code, err = serve(m, dir, s3, queue)
	queue.Stop()
	if err = errors.Join(err, s3.Stop()); err == nil && code == 0 {
		err = goleak.Find()
	}
	return code, err
}

// serve runs the tests with a worker between the two servers.
func serve(m *testing.M, dir string, s3 *storetest.Server, queue *natstest.Server) (code int, err error) {
	cfg := s3.Config("mcp")
	c := fleet.Context{
		NATS: fleet.NATS{URL: queue.URL()},
		S3:   fleet.S3{Endpoint: cfg.Endpoint, AccessKey: cfg.AccessKey, SecretKey: string(cfg.SecretKey), Bucket: cfg.Bucket},
	}
	f := &testFleet{dir: dir, guests: map[string]guest{}}
	if _, err = c.Save(dir); err != nil {
		return 1, err
	}
	if f.store, err = artifacts.Open(cfg); err != nil {
		return 1, err
	}
	if err = f.store.EnsureBucket(context.Background()); err != nil {
		return 1, err
	}
	if f.nc, f.js, err = jobs.Connect(context.Background(), c.Conn("test worker")); err != nil {
		return 1, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w, err := jobs.NewWorker(ctx, f.nc, f.js, f, f, jobs.WorkerConfig{Name: "test", Slots: 32, Grace: time.Millisecond, PollEvery: 50 * time.Millisecond})
	if err != nil {
		return 1, err
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- w.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		return 1, err
	}
	theFleet = f
	code = m.Run()
	cancel()
	err = errors.Join(<-ended, stopProcesses())
	f.nc.Close()
	f.store.Close()
	return code, err
}

// Run is the worker's handler.
func (f *testFleet) Run(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
	f.mu.Lock()
	g := f.guests[a.Job.Tool.Name]
	f.mu.Unlock()
	if g == nil {
		return &jobs.Result{Outcome: jobs.Invalid, ExitCode: -1, Error: "no such guest"}, nil
	}
	return g(ctx, a)
}

// Commit takes outputs as they are.
func (f *testFleet) Commit(_ context.Context, _ *jobs.Attempt, r *jobs.Result) (*jobs.Result, error) {
	return r, nil
}

// user is one test's tools. The registry is everybody's, so a test's server
// offers only them, by a keyword of the test's own.
type user struct {
	t       *testing.T
	client  *jobs.Client
	keyword string
	names   []string
}

func newUser(t *testing.T) *user {
	t.Helper()
	u := &user{t: t, keyword: "k" + strings.ToLower(rand.Text()[:10])}
	var err error
	if u.client, err = jobs.NewClient(t.Context(), theFleet.nc, theFleet.js, "t"+rand.Text()[:10]); err != nil {
		t.Fatal(err)
	}
	return u
}

// tool registers a tool that does what g says, and gives its name.
func (u *user) tool(g guest, changes ...func(*jobs.Manifest)) string {
	u.t.Helper()
	m := jobs.Manifest{
		Name: "g" + strings.ToLower(rand.Text()[:12]), Version: "1.0.0", Size: 1, Level: "execute", Keywords: []string{u.keyword},
		Description: "A guest of a test.",
	}
	for _, change := range changes {
		change(&m)
	}
	m.Digest = artifacts.DigestBytes([]byte(m.Name + m.Version))
	theFleet.mu.Lock()
	theFleet.guests[m.Name] = g
	theFleet.mu.Unlock()
	if _, err := u.client.Register(u.t.Context(), m); err != nil {
		u.t.Fatal(err)
	}
	u.names = append(u.names, m.Name)
	return m.Name
}

func level(l string) func(*jobs.Manifest) { return func(m *jobs.Manifest) { m.Level = l } }
func named(n string) func(*jobs.Manifest) { return func(m *jobs.Manifest) { m.Name = n } }
func schema(s string) func(*jobs.Manifest) {
	return func(m *jobs.Manifest) { m.InputSchema = []byte(s) }
}
func imports(names ...string) func(*jobs.Manifest) {
	return func(m *jobs.Manifest) { m.Imports = names }
}

// server makes a server of the user's tools; it ends with the test.
func (u *user) server(changes ...func(*Config)) *Server {
	u.t.Helper()
	cfg := Config{Client: u.client, Store: theFleet.store, Scope: Scope{Keywords: []string{u.keyword}}, Version: "test"}
	for _, change := range changes {
		change(&cfg)
	}
	s, err := New(u.t.Context(), cfg)
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(s.Close)
	return s
}

// agent is a client of the SDK with what it has heard.
type agent struct {
	*sdk.ClientSession
	t        *testing.T
	progress chan string
	changed  chan struct{}
}

func newClient(t *testing.T) (*sdk.Client, *agent) {
	a := &agent{t: t, progress: make(chan string, 100), changed: make(chan struct{}, 100)}
	return sdk.NewClient(&sdk.Implementation{Name: "test agent", Version: "1"}, &sdk.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *sdk.ProgressNotificationClientRequest) {
			a.progress <- r.Params.Message
		},
		ToolListChangedHandler: func(context.Context, *sdk.ToolListChangedRequest) { a.changed <- struct{}{} },
	}), a
}

// versions of the protocol that tests speak: with sessions and without.
var versions = []string{"2025-11-25", "2026-07-28"}

// connect gives an agent of a server, over an in-memory pipe.
func (s *Server) connect(t *testing.T, version string) *agent {
	t.Helper()
	near, far := sdk.NewInMemoryTransports()
	if _, err := s.Connect(t.Context(), far); err != nil {
		t.Fatal(err)
	}
	return dial(t, near, version)
}

func dial(t *testing.T, transport sdk.Transport, version string) *agent {
	t.Helper()
	c, a := newClient(t)
	var err error
	if a.ClientSession, err = c.Connect(t.Context(), transport, &sdk.ClientSessionOptions{ProtocolVersion: version}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

type args = map[string]any

// call calls a tool and fails the test unless there is an answer.
func (a *agent) call(name string, in any) *sdk.CallToolResult {
	a.t.Helper()
	r, err := a.CallTool(a.t.Context(), &sdk.CallToolParams{Name: name, Arguments: in})
	if err != nil {
		a.t.Fatalf("call %s: %v", name, err)
	}
	return r
}

// list gives the tools by name, in the order they are listed.
func (a *agent) list() (names []string, tools map[string]*sdk.Tool) {
	a.t.Helper()
	tools = map[string]*sdk.Tool{}
	for t, err := range a.Tools(a.t.Context(), nil) {
		if err != nil {
			a.t.Fatal(err)
		}
		names = append(names, t.Name)
		tools[t.Name] = t
	}
	return names, tools
}

// text is all text of an answer, a block a line.
func text(r *sdk.CallToolResult) string {
	var parts []string
	for _, c := range r.Content {
		switch c := c.(type) {
		case *sdk.TextContent:
			parts = append(parts, c.Text)
		case *sdk.ResourceLink:
			parts = append(parts, "link "+c.Name)
		}
	}
	return strings.Join(parts, "\n")
}

// links gives the addresses of an answer's resources by name.
func linksOf(r *sdk.CallToolResult) map[string]string {
	out := map[string]string{}
	for _, c := range r.Content {
		if l, ok := c.(*sdk.ResourceLink); ok {
			out[l.Name] = l.URI
		}
	}
	return out
}

// wants holds an answer to whether it is an error, and to parts of its text.
func wants(t *testing.T, r *sdk.CallToolResult, isError bool, parts ...string) {
	t.Helper()
	got := text(r)
	if r.IsError != isError {
		t.Errorf("isError %t, want %t: %.500s", r.IsError, isError, got)
	}
	for _, p := range parts {
		if !strings.Contains(got, p) {
			t.Errorf("%q is not in the answer: %.1000s", p, got)
		}
	}
}

// done is the result of a guest that ends by itself.
func done(code int, stdout, stderr string) *jobs.Result {
	r := &jobs.Result{Outcome: jobs.Succeeded, ExitCode: code, Stdout: jobs.Text(stdout), Stderr: jobs.Text(stderr), FuelConsumed: 7}
	if code != 0 {
		r.Outcome = jobs.Exited
	}
	return r
}

// echo prints its arguments, one a line, then its standard input.
func echo(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
	out := strings.Join(a.Job.Args, "\n")
	if s := a.Job.Stdin; s != nil {
		out += "\n" + s.Inline + s.Source
	}
	return done(0, out, ""), nil
}

// leave stores files as the outputs of a job.
func leave(ctx context.Context, r *jobs.Result, a *jobs.Attempt, files map[string]string) error {
	key := a.OutputPrefix() + "run/files/"
	for _, p := range slices.Sorted(func(yield func(string) bool) {
		for p := range files {
			if !yield(p) {
				return
			}
		}
	}) {
		content := files[p]
		sum := sha256.Sum256([]byte(content))
		r.Outputs = append(r.Outputs, artifacts.OutputFile{Path: p, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])})
		if artifacts.CheckPath(p) != nil {
			continue // a hostile name has no object
		}
		if err := theFleet.store.Put(ctx, "", key+p, []byte(content)); err != nil {
			return err
		}
	}
	r.OutputPrefix = "s3://" + theFleet.store.Bucket() + "/" + key
	return nil
}

// staged reads the work directory of an attempt as the worker would stage it.
func stagedFiles(ctx context.Context, a *jobs.Attempt) (map[string]string, error) {
	d, err := artifacts.ParseDigest(a.Job.Options.WorkDir.Source)
	if err != nil {
		return nil, err
	}
	var doc bytes.Buffer
	if _, err := theFleet.store.GetBlob(ctx, d, 1<<20, &doc); err != nil {
		return nil, err
	}
	tree, err := artifacts.DecodeTree(doc.Bytes(), artifacts.Limits{})
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, f := range tree.Files {
		var b bytes.Buffer
		if _, err := theFleet.store.GetBlob(ctx, f.Digest, 1<<20, &b); err != nil {
			return nil, err
		}
		files[f.Path] = b.String()
	}
	return files, nil
}
