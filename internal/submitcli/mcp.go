package submitcli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"boxfleet/artifacts"
	"boxfleet/internal/mcp"
	"boxfleet/jobs"
	"boxfleet/limits"
	"boxfleet/limits/permission"
)

type mcpFlags struct {
	jobFlags        // those of jobOptions only
	http, tokenFile string
	allowRemote     bool
	tier, maxLevel  string
	allowDangerous  bool
	tools, keywords []string
	maxCalls        int
}

// jobOptions are the flags of `run` that `mcp` has too: what an operator grants
// every call.
var jobOptions = []string{
	"map-dir", "env", "allowed-outbound-host", "block-url", "block-network", "timeout", "max-memory", "max-stack", "fuel",
	"max-stdout", "max-stderr", "max-written-bytes", "max-files", "max-open-files", "max-outbound-bytes", "max-outbound-requests",
	"deterministic", "priority", "label",
}

func (a *app) mcpCommand() *cobra.Command {
	var f mcpFlags
	cmd := &cobra.Command{
		Use: "mcp", Short: "Offer the fleet's tools to agents by the Model Context Protocol", Args: cobra.NoArgs,
		Long: "mcp is a Model Context Protocol server: an agent's host starts it and speaks over\n" +
			"standard input and output, or connects to --http with a bearer token. Every call of a\n" +
			"tool is one job. Agents are granted what the flags say and nothing else.",
		Example: "  submit mcp --work-dir ./project --tier read-only\n" +
			"  submit mcp --work-dir ./project:rw --tool grep --tool file-read --tool file-edit\n" +
			"  submit mcp --http 127.0.0.1:7777 --token-file token --allowed-outbound-host 'https://*.example.com'",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.mcp(cmd.Context(), &f) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.http, "http", "", "serve HTTP at this address, such as 127.0.0.1:7777, instead of standard input and output")
	fs.StringVar(&f.tokenFile, "token-file", "", "file with the bearer token; made with a new one when missing. Without it a new one is printed")
	fs.BoolVar(&f.allowRemote, "allow-remote", false, "let --http listen beyond this machine, and take any Host header; it has no TLS of its own")
	fs.StringVar(&f.tier, "tier", string(permission.TierFull), "what agents may do: full, read-only or search-only")
	fs.StringVar(&f.maxLevel, "max-level", "", "highest permission level that is offered; execute when absent")
	fs.BoolVar(&f.allowDangerous, "allow-dangerous", false, "offer tools of level dangerous too, and consent to their jobs")
	fs.StringArrayVar(&f.tools, "tool", nil, "offer this tool only: NAME, NAME@VERSION or NAME@CHANNEL; repeatable; every tool when absent")
	fs.StringArrayVar(&f.keywords, "keyword", nil, "offer tools with this keyword only; repeatable, one of them is enough")
	fs.StringVar(&f.workDir, "work-dir", "", "directory that tools see at /: SRC[:ro|rw|scratch]; with rw, changes are written back")
	fs.IntVar(&f.maxCalls, "max-calls", 0, "calls that run at once, further ones wait; 32 when absent")
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.jobFlags.register(all)
	for _, name := range jobOptions {
		fs.AddFlag(all.Lookup(name))
	}
	return cmd
}

// mcp checks the flags, uploads what they name, and serves until the client is
// gone or a signal comes, which is how a server ends well.
func (a *app) mcp(ctx context.Context, f *mcpFlags) error {
	cfg, up, err := f.config()
	if err != nil {
		return err
	}
	var listener net.Listener
	var access mcp.HTTPConfig
	if f.http != "" {
		if access, err = f.access(); err != nil {
			return err
		}
	} else if f.tokenFile != "" || f.allowRemote {
		return usagef("--token-file and --allow-remote are for --http; over standard input and output there is nobody else")
	}
	if cfg.Client, err = a.client(ctx); err != nil {
		return err
	}
	if a.context.S3.Endpoint != "" || cfg.WorkDir != nil || !up.empty() {
		if cfg.Store, err = a.store(ctx); err != nil {
			return err
		}
	}
	if err := up.send(ctx, a); err != nil {
		return err
	}
	if cfg.Options, _, err = f.options(up); err != nil { // with the digests of what was uploaded
		return err
	}
	cfg.Options.WorkDir = nil
	cfg.Version, cfg.Say = cmp.Or(a.Version, buildVersion()), a.remark
	if cfg.Changed, err = a.watchTools(ctx); err != nil {
		return err
	}
	server, err := mcp.New(ctx, cfg)
	if err != nil {
		return usage(err)
	}
	defer server.Close()
	if f.http != "" {
		if listener, err = net.Listen("tcp", f.http); err != nil {
			return fmt.Errorf("--http: %w", err)
		}
		if err := a.announce(listener, access.Token, f.tokenFile); err != nil {
			return err
		}
		err = server.ServeHTTP(ctx, listener, access)
	} else {
		err = server.ServeIO(ctx, a.Stdin, a.Stdout)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// config makes of the flags everything that needs no fleet.
func (f *mcpFlags) config() (mcp.Config, *uploads, error) {
	up := newUploads()
	work, options := f.workDir, f.jobFlags
	options.workDir = "" // staged for each call, not once
	f.jobFlags = options
	j, _, err := f.job(up)
	if err != nil {
		return mcp.Config{}, nil, err
	}
	cfg := mcp.Config{
		Options: j.Options, Labels: j.Labels, Priority: j.Priority, MaxCalls: f.maxCalls,
		Scope: mcp.Scope{
			Tier: permission.Tier(f.tier), MaxLevel: permission.Level(f.maxLevel), AllowDangerous: f.allowDangerous,
			Tools: f.tools, Keywords: f.keywords,
		},
	}
	if err := cfg.Scope.Validate(); err != nil {
		return cfg, nil, usage(err)
	}
	for _, m := range j.Options.MapDirs {
		if m.Mode == limits.ReadWrite {
			return cfg, nil, usagef("--map-dir: %s is mounted rw, but only the changes of --work-dir are kept; use ro or scratch", m.Guest)
		}
	}
	if work != "" {
		if cfg.WorkDir, err = parseMCPWorkDir(work); err != nil {
			return cfg, nil, usagef("--work-dir: %w", err)
		}
	}
	return cfg, up, nil
}

// parseMCPWorkDir reads SRC[:mode].
func parseMCPWorkDir(s string) (*mcp.WorkDir, error) {
	m, err := parseWorkDir(s)
	if err != nil {
		return nil, err
	}
	w := &mcp.WorkDir{Mode: m.Mode}
	if w.Mode == "" {
		w.Mode = limits.ReadOnly
	}
	switch {
	case m.Source == "":
		return nil, fmt.Errorf("%q: name a directory; it is what calls share", s)
	case remote(m.Source):
		if _, err := artifacts.ParseSource(m.Source); err != nil {
			return nil, err
		}
		w.Source = m.Source
		return w, nil
	}
	if w.Dir, err = filepath.Abs(m.Source); err != nil {
		return nil, err
	}
	info, err := os.Stat(w.Dir)
	switch {
	case err != nil:
		return nil, plainPathError(err)
	case !info.IsDir():
		return nil, fmt.Errorf("%s is no directory", m.Source)
	}
	return w, nil
}

// access judges the address and finds the token.
func (f *mcpFlags) access() (mcp.HTTPConfig, error) {
	cfg := mcp.HTTPConfig{AnyHost: f.allowRemote}
	host, _, err := net.SplitHostPort(f.http)
	if err != nil {
		return cfg, usagef("--http: %q is no address; write HOST:PORT, such as 127.0.0.1:7777", f.http)
	}
	if ip := net.ParseIP(host); !f.allowRemote && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return cfg, usagef("--http: %q is not this machine's loopback address; use 127.0.0.1, or give --allow-remote if others are to connect (without TLS: put a proxy before it)", host)
	}
	cfg.Token, err = f.token()
	return cfg, err
}

// minToken is the shortest token that is taken from a file, in bytes.
const minToken = 20

// token reads the token file, makes it when it is missing, or gives a new
// token when there is to be none.
func (f *mcpFlags) token() (string, error) {
	if f.tokenFile == "" {
		return mcp.NewToken(), nil
	}
	file, err := os.OpenFile(f.tokenFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		token := mcp.NewToken()
		_, err = file.WriteString(token + "\n")
		if err = errors.Join(err, file.Close()); err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		return token, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return "", usagef("--token-file: %w", plainPathError(err))
	}
	info, err := os.Stat(f.tokenFile)
	if err != nil {
		return "", usagef("--token-file: %w", plainPathError(err))
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", usagef("--token-file: %s can be read by others (mode %04o); make it yours: chmod 600 %s", f.tokenFile, info.Mode().Perm(), f.tokenFile)
	}
	data, err := os.ReadFile(f.tokenFile)
	if err != nil {
		return "", usagef("--token-file: %w", plainPathError(err))
	}
	token := strings.TrimSpace(string(data))
	if len(token) < minToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", usagef("--token-file: %s holds no token of %d or more visible ASCII characters; remove it and a new one is made", f.tokenFile, minToken)
	}
	return token, nil
}

// announce says where the server is. The token goes to whoever started it, or
// stays in its file.
func (a *app) announce(l net.Listener, token, file string) error {
	url := "http://" + l.Addr().String() + mcp.Path
	if a.globals.json {
		return a.printLine(map[string]any{"url": url, "token": token})
	}
	a.say("MCP at %s", url)
	if file != "" {
		a.say("bearer token in %s", file)
	} else {
		a.say("bearer token %s", token)
	}
	return nil
}

// watchTools gives a channel on which changes of the registry are heard, until
// ctx ends. Several changes may be heard as one.
func (a *app) watchTools(ctx context.Context) (<-chan struct{}, error) {
	bucket, err := a.js.KeyValue(ctx, jobs.BucketTools)
	if err != nil {
		return nil, fmt.Errorf("follow the registry: %w", err)
	}
	watch, err := bucket.WatchAll(ctx, jetstream.UpdatesOnly(), jetstream.MetaOnly())
	if err != nil {
		return nil, fmt.Errorf("follow the registry: %w", err)
	}
	changed := make(chan struct{}, 1)
	go func() {
		defer func() { _ = watch.Stop() }()
		for {
			select {
			case <-ctx.Done():
				return
			case _, ok := <-watch.Updates():
				if !ok {
					return
				}
				select {
				case changed <- struct{}{}:
				default:
				}
			}
		}
	}()
	return changed, nil
}
