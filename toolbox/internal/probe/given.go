package probe

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sort"
	"strings"
	"time"
)

// report shows all that the guest was given, in sections.
func report(p *process) error {
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "args %q\ncwd %s\n", p.values, wd)
	for _, step := range []func(*process) error{printEnv, listWorkingDir} {
		if err := step(p); err != nil {
			return err
		}
	}
	n, err := io.Copy(io.Discard, p.In)
	if err != nil {
		return fmt.Errorf("read standard input: %w", err)
	}
	fmt.Fprintf(p.out, "stdin %d bytes\n", n)
	return nil
}

func printArgs(p *process) error {
	for _, value := range p.values {
		fmt.Fprintln(p.out, value)
	}
	return nil
}

func printEnv(p *process) error {
	env := os.Environ()
	sort.Strings(env)
	for _, entry := range env {
		fmt.Fprintln(p.out, entry)
	}
	return nil
}

func listWorkingDir(p *process) error {
	entries, err := os.ReadDir(".")
	if err != nil {
		fmt.Fprintln(p.out, "no directory:", err) // a guest without one is not at fault
		return nil
	}
	return printEntries(p, entries)
}

func copyStdin(p *process) error {
	_, err := io.Copy(p.out, p.In)
	return err
}

// flood writes a given number of bytes: lines of 64 bytes.
func flood(p *process, w io.Writer) error {
	left, err := p.number(0, "BYTES")
	if err != nil {
		return err
	}
	block := bytes.Repeat([]byte(strings.Repeat("boxfleet ", 7)+"\n"), 64)
	for left > 0 {
		n, err := w.Write(block[:min(left, len(block))])
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// clock shows the wall clock and how far the monotonic one gets in a thousand
// readings: both are fixed for a deterministic job.
func clock(p *process) error {
	start := time.Now()
	var elapsed time.Duration
	for range 1000 {
		elapsed = time.Since(start)
	}
	fmt.Fprintf(p.out, "wall %s\nelapsed %d ns\n", start.UTC().Format(time.RFC3339Nano), elapsed.Nanoseconds())
	return nil
}

// random shows 16 bytes that follow from the seed the guest was given.
func random(p *process) error {
	var b [16]byte
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	fmt.Fprintln(p.out, hex.EncodeToString(b[:]))
	return nil
}
