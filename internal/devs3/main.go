// Command devs3 is the S3 server of boxfleet's development fleet and of its
// tests: versitygw over a directory, as a process of its own.
//
// It is a separate module because versitygw brings some three hundred packages
// and changes the working directory of the process that runs it; neither
// belongs in a worker. It listens on loopback only, keeps its data across
// restarts, reports the address it really bound in a ready file, and ends on
// SIGINT, SIGTERM or, with --exit-on-stdin-close, when its parent goes away,
// however that happened.
//
// It is not for production: nothing is synced to disk before a PUT is answered,
// and an object named "a" cannot live beside one named "a/b", because objects
// are files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
)

// secretVariable is the environment variable read when --secret-file is absent.
// A secret is never a flag: flags are visible to every user of the machine.
const secretVariable = "DEVS3_SECRET"

// Exit codes of the process.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// shutdownGrace bounds the wait for requests in flight after a signal. An
// object appears by one link(2) or rename(2), so cutting a request off leaves
// the old object or none, never half of one.
const shutdownGrace = 3 * time.Second

type config struct {
	data      string
	listen    string
	access    string
	secret    string
	region    string
	readyFile string
	exitOnEOF bool
	verbose   bool
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stderr))
}

func run(args []string, stdin io.Reader, stderr io.Writer) int {
	cfg, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintln(stderr, "devs3:", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if cfg.exitOnEOF {
		ctx = untilEOF(ctx, stdin)
	}
	if err := serve(ctx, cfg, stderr); err != nil {
		fmt.Fprintln(stderr, "devs3:", err)
		return exitError
	}
	return exitOK
}

func parseFlags(args []string, stderr io.Writer) (config, error) {
	var cfg config
	var secretFile string
	fs := flag.NewFlagSet("devs3", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&cfg.data, "data", "", "directory for objects, made when missing (required)")
	fs.StringVar(&cfg.listen, "listen", "127.0.0.1:0", "loopback address; port 0 takes any free one")
	fs.StringVar(&cfg.access, "access", "boxfleet", "access key")
	fs.StringVar(&secretFile, "secret-file", "", "file holding the secret key (default: the variable "+secretVariable+")")
	fs.StringVar(&cfg.region, "region", "us-east-1", "region that requests must be signed for")
	fs.StringVar(&cfg.readyFile, "ready-file", "", "file to write once requests are answered: JSON with address, endpoint, pid")
	fs.BoolVar(&cfg.exitOnEOF, "exit-on-stdin-close", false, "end when standard input reaches its end, as it does when the parent process dies")
	fs.BoolVar(&cfg.verbose, "verbose", false, "log every request to standard output")
	if err := fs.Parse(args); err != nil {
		return cfg, err
	}
	if fs.NArg() > 0 {
		return cfg, fmt.Errorf("unexpected argument %q: everything is a flag", fs.Arg(0))
	}
	if cfg.data == "" {
		return cfg, errors.New("--data is required: the directory that keeps the objects")
	}
	if cfg.access == "" {
		return cfg, errors.New("--access is empty")
	}
	if err := loopbackOnly(cfg.listen); err != nil {
		return cfg, err
	}
	var err error
	if cfg.secret, err = readSecret(secretFile); err != nil {
		return cfg, err
	}
	// versitygw changes the working directory, so relative paths end here.
	for _, p := range []*string{&cfg.data, &cfg.readyFile} {
		if *p == "" {
			continue
		}
		if *p, err = filepath.Abs(*p); err != nil {
			return cfg, fmt.Errorf("resolve %q: %w", *p, err)
		}
	}
	return cfg, nil
}

func loopbackOnly(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("--listen %q: %w; give host:port, for example 127.0.0.1:0", addr, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("--listen %q: not a loopback IP address; this server is for development on one machine, use 127.0.0.1", addr)
	}
	return nil
}

func readSecret(file string) (string, error) {
	secret, from := os.Getenv(secretVariable), "the variable "+secretVariable
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read --secret-file: %w", err)
		}
		secret, from = strings.TrimSpace(string(b)), "--secret-file "+file
	}
	if secret == "" {
		return "", fmt.Errorf("no secret key: %s is empty; give --secret-file or set %s", from, secretVariable)
	}
	return secret, nil
}

// untilEOF returns a context that ends with ctx or when in is at its end. A
// pipe's end is seen however the writer died, which a parent's process id,
// reused or re-parented, would not tell.
func untilEOF(ctx context.Context, in io.Reader) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, in)
	}()
	return ctx
}

// serve runs the server until ctx ends.
func serve(ctx context.Context, cfg config, stderr io.Writer) error {
	// The server sits idle beside a worker most of the time: trade a little CPU for memory.
	debug.SetGCPercent(50)

	data, err := openData(cfg.data)
	if err != nil {
		return err
	}
	defer data.Close()
	be, err := posix.New(data.objects, data.meta, posix.PosixOpts{
		SideCarDir:          data.sidecar,
		CopyObjectThreshold: 5 << 30, // S3's limit; zero would refuse every copy
		IOBufferSize:        128 << 10,
		ValidateBucketNames: true,
	})
	if err != nil {
		return fmt.Errorf("open objects in %s: %w", data.objects, err)
	}

	// A ready file of an earlier run would name an address that nobody serves.
	if cfg.readyFile != "" {
		if err := os.Remove(cfg.readyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove old ready file: %w", err)
		}
	}
	before, err := listeningSockets()
	if err != nil {
		return err
	}
	notReady := make(chan error, 1)
	onListen := func() {
		if err := announce(cfg, before, stderr); err != nil {
			notReady <- err
		}
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() {
		ended <- embedgw.RunVersityGW(ctx, be, &embedgw.Config{
			RootUserAccess:    cfg.access,
			RootUserSecret:    cfg.secret,
			Region:            cfg.region,
			Ports:             []string{cfg.listen},
			MaxConnections:    4096,
			MaxRequests:       1024,
			MultipartMaxParts: 10_000,
			KeepAlive:         true,
			Quiet:             !cfg.verbose,
			S3Options:         []s3api.Option{s3api.WithOnListen(onListen), s3api.WithMiddleware("/", closeAfterChunked)},
		})
	}()
	select {
	case err := <-ended:
		return err
	case err := <-notReady:
		cancel(err)
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(shutdownGrace):
		return nil
	}
}

// closeAfterChunked ends the connection after a request with chunked transfer
// encoding. minio-go sends one for an empty object over plain HTTP (a signed
// stream of no bytes, whose length it takes for unknown), versitygw reads none
// of it, and the rest would be taken for the next request on the connection.
func closeAfterChunked(c fiber.Ctx) error {
	err := c.Next()
	if c.Request().Header.ContentLength() < 0 {
		c.Response().Header.SetConnectionClose()
	}
	return err
}
