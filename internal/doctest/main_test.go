package doctest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"boxfleet/internal/clidoc"
)

const repo = "../.."

// rig is what all documents share: the programs, built from this source, and
// one fleet, started as the documents start it.
var rig struct {
	dir    string // scratch
	bin    string // submit, worker, devs3, loadtest, chaos
	home   string // of the reader
	env    []string
	goEnv  []string
	checks *Checker
}

func TestMain(m *testing.M) {
	code, err := withRig(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withRig(tests func() int) (code int, err error) {
	if rig.dir, err = os.MkdirTemp("", "doctest-*"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(rig.dir)) }()
	rig.bin, rig.home = filepath.Join(rig.dir, "bin"), filepath.Join(rig.dir, "home")
	if err := errors.Join(os.Mkdir(rig.home, 0o755), build(rig.bin)); err != nil {
		return 1, err
	}
	if err := environment(); err != nil {
		return 1, err
	}
	if rig.checks, err = checker(); err != nil {
		return 1, err
	}
	stop, err := startFleet()
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return tests(), nil
}

// build makes the programs as `make build` does.
func build(bin string) error {
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	for dir, packages := range map[string][]string{
		repo:                     {"./cmd/submit", "./cmd/worker", "./loadtest", "./internal/chaos"},
		repo + "/internal/devs3": {"."},
	} {
		cmd := exec.Command("go", append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", bin + "/"}, packages...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build the programs: %w\n%s", err, out)
		}
	}
	return nil
}

// environment is a reader's: nothing of who runs the tests but Go's caches.
func environment() error {
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE", "GOPATH", "GOROOT", "GOPROXY", "GONOSUMDB", "GOSUMDB").Output()
	if err != nil {
		return err
	}
	values := strings.Split(string(out), "\n")
	for i, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOROOT", "GOPROXY", "GONOSUMDB", "GOSUMDB"} {
		rig.goEnv = append(rig.goEnv, name+"="+values[i])
	}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "BOXFLEET_") && !strings.HasPrefix(name, "OTEL_") && !strings.HasPrefix(name, "XDG_") && !strings.HasPrefix(name, "GO") && name != "HOME" {
			rig.env = append(rig.env, v)
		}
	}
	rig.env = append(append(rig.env, rig.goEnv...), "HOME="+rig.home, "GOFLAGS=", "CARGO_HOME="+homeOf("CARGO_HOME", ".cargo"), "RUSTUP_HOME="+homeOf("RUSTUP_HOME", ".rustup"), "LC_ALL=C.UTF-8")
	return nil
}

// homeOf is where a toolchain keeps itself in the home of who runs the tests.
func homeOf(variable, name string) string {
	if v := os.Getenv(variable); v != "" {
		return v
	}
	home, _ := os.UserHomeDir()
	return filepath.Join(home, name)
}

func run(dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(rig.env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// checker asks the programs for their commands and flags.
func checker() (*Checker, error) {
	c := &Checker{Toolchains: os.Getenv("DOCTEST_TOOLCHAINS") == "1", Programs: map[string]*clidoc.Node{}, Further: map[string]func([]string) error{}}
	for _, name := range []string{"submit", "worker"} {
		out, err := run(rig.dir, nil, filepath.Join(rig.bin, name), "manual", "--json")
		if err != nil {
			return nil, err
		}
		n := &clidoc.Node{}
		if err := json.Unmarshal([]byte(out), n); err != nil {
			return nil, err
		}
		c.Programs[name] = n
	}
	for _, name := range []string{"loadtest", "chaos", "devs3"} {
		out, _ := exec.Command(filepath.Join(rig.bin, name), "--help").CombinedOutput() // some end with 2
		n := FromUsage(name, string(out))
		if len(n.Flags) < 3 {
			return nil, fmt.Errorf("the help of %s names no flags:\n%s", name, out)
		}
		c.Programs[name] = n
	}
	c.Further["worker"] = settingsParse
	text, err := os.ReadFile(repo + "/Makefile")
	if err != nil {
		return nil, err
	}
	c.Make = ReadMakefile(string(text))
	c.Go = GoCommand{Exists: packageExists, Defines: definesTest}.Check
	return c, nil
}

// settingsParse lets the worker itself read the settings of a command line.
// One more setting is wrong on purpose, so that it starts nothing: that it
// complains of this one alone says that the others are fine.
func settingsParse(words []string) error {
	if len(words) == 0 || words[0] != "run" && words[0] != "dev" {
		return nil
	}
	out, err := run(rig.dir, []string{"BOXFLEET_LOG_FORMAT=", "BOXFLEET_COMPILERS=x"}, filepath.Join(rig.bin, "worker"), words...)
	if err == nil {
		return nil // --help
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, l := range lines {
		if !strings.Contains(l, "BOXFLEET_COMPILERS") {
			return errors.New(l)
		}
	}
	return nil
}

func packageExists(dir string) bool {
	dir = strings.TrimSuffix(dir, "/...")
	for _, root := range []string{repo, repo + "/toolbox", repo + "/toolbox/large", repo + "/internal/devs3"} {
		files, _ := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if len(files) > 0 || strings.HasSuffix(dir, "...") {
			return true
		}
		if info, err := os.Stat(filepath.Join(root, dir)); err == nil && info.IsDir() {
			return true
		}
	}
	return false
}

func definesTest(dir, prefix, pattern string) bool {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return false
	}
	name := regexp.MustCompile(`(?m)^func (` + prefix + `\w*)\(`)
	for _, root := range []string{repo, repo + "/toolbox", repo + "/toolbox/large"} {
		found := false
		_ = filepath.WalkDir(filepath.Join(root, strings.TrimSuffix(dir, "...")), func(path string, d fs.DirEntry, err error) error {
			if err != nil || found || !strings.HasSuffix(path, "_test.go") {
				return nil
			}
			text, _ := os.ReadFile(path)
			for _, m := range name.FindAllSubmatch(text, -1) {
				found = found || re.Match(m[1])
			}
			return nil
		})
		if found {
			return true
		}
	}
	return false
}

// startFleet starts `worker dev` as the documents do and registers the
// toolbox.
func startFleet() (stop func() error, err error) {
	data := filepath.Join(rig.dir, "boxfleet-data")
	ready := filepath.Join(rig.dir, "ready")
	cmd := exec.Command(filepath.Join(rig.bin, "worker"), "dev", "--data", data, "--ready-file", ready, "--allow-private-networks")
	cmd.Env = append(rig.env, "BOXFLEET_COMPILERS=2")
	var said bytes.Buffer
	out, err := os.Create(filepath.Join(rig.dir, "fleet.out"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, &said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop = func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("the fleet ended badly: %w\n%s", err, &said)
			}
			return nil
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
			return fmt.Errorf("the fleet does not end\n%s", &said)
		}
	}
	late := time.After(time.Minute)
	for {
		if info, err := os.Stat(ready); err == nil && info.Size() > 0 {
			break
		}
		select {
		case err := <-ended:
			ended <- err
			return nil, fmt.Errorf("the fleet ended at once: %w\n%s", err, &said)
		case <-late:
			return nil, errors.Join(errors.New("the fleet is not ready within a minute"), stop())
		case <-time.After(5 * time.Millisecond):
		}
	}
	_, err = run(repo, nil, filepath.Join(rig.bin, "submit"), "tool", "push", "--all", "toolbox/tools", "--wasm-dir", "toolbox/dist", "--no-compile")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("is the toolbox built? make toolbox: %w", err), stop())
	}
	return stop, nil
}
