package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one program of the fleet that is ours.
type process struct {
	name   string
	stderr io.Writer
	ready  string // file it writes once it can be used
	args   []string

	cmd   *exec.Cmd
	http  string // its HTTP side
	ended chan struct{}
	err   error // of Wait, when ended is closed
}

// readyWithin is how long a process may take until it says it is ready.
const readyWithin = 60 * time.Second

// start starts the program and waits until it says it is ready.
func (p *process) start(ctx context.Context) error {
	_ = os.Remove(p.ready)
	cmd := exec.Command(p.args[0], append(p.args[1:len(p.args):len(p.args)], "--ready-file", p.ready)...)
	cmd.Stderr = p.stderr
	// The fleet goes with us, whatever happens to us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a fleet: %w; run `make build` first", err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		defer close(ended)
		p.err = cmd.Wait()
	}()
	deadline := time.Now().Add(readyWithin)
	for {
		data, err := os.ReadFile(p.ready)
		if err == nil {
			var said struct{ HTTP string }
			if err := json.Unmarshal(data, &said); err != nil {
				return fmt.Errorf("read the ready file of %s: %w", p.name, err)
			}
			p.http = said.HTTP
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("%s ended before it was ready (%v); its messages are above", p.name, p.err)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s was not ready within %s", p.name, readyWithin)
		}
	}
}

// stopWithin is how long a drained worker may take to end.
const stopWithin = 60 * time.Second

// stop lets the program end in order.
func (p *process) stop() error {
	if p.cmd == nil {
		return nil
	}
	select {
	case <-p.ended: // by itself, or killed
		return nil
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGCONT) // it may be frozen
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		return p.err
	case <-time.After(stopWithin):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("%s did not end within %s and was killed", p.name, stopWithin)
	}
}

// kill ends the program as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// startAll starts processes side by side.
func startAll(ctx context.Context, list []*process) error {
	errs := make([]error, len(list))
	var all sync.WaitGroup
	for i, p := range list {
		all.Go(func() { errs[i] = p.start(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// stopAll lets processes end side by side.
func stopAll(list []*process) error {
	errs := make([]error, len(list))
	var all sync.WaitGroup
	for i, p := range list {
		all.Go(func() { errs[i] = p.stop() })
	}
	all.Wait()
	return errors.Join(errs...)
}

// beside gives the path of a program in the directory this one is in.
func beside(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.Join(filepath.Dir(self), name), nil
}

// processUsage is what processes used so far.
type processUsage struct {
	CPU      time.Duration
	Resident int64
	FDs      int
}

func (u processUsage) plus(o processUsage) processUsage {
	return processUsage{u.CPU + o.CPU, u.Resident + o.Resident, u.FDs + o.FDs}
}

// usage reads /proc; zero for a process that is not there.
func (p *process) usage() (u processUsage) {
	if p == nil || p.cmd == nil {
		return u
	}
	proc := "/proc/" + strconv.Itoa(p.cmd.Process.Pid)
	if data, err := os.ReadFile(proc + "/stat"); err == nil {
		f := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+2:]))
		user, _ := strconv.ParseInt(f[11], 10, 64)
		sys, _ := strconv.ParseInt(f[12], 10, 64)
		u.CPU = time.Duration(user+sys) * 10 * time.Millisecond // clock ticks of 10 ms
	}
	if data, err := os.ReadFile(proc + "/status"); err == nil {
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) >= 2 && f[0] == "VmRSS:" {
				kb, _ := strconv.ParseInt(f[1], 10, 64)
				u.Resident = kb << 10
			}
		}
	}
	if fds, err := os.ReadDir(proc + "/fd"); err == nil {
		u.FDs = len(fds)
	}
	return u
}

// selfCPU is what this process used so far.
func selfCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
