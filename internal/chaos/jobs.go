package main

import (
	_ "embed"
	"fmt"
	"math/rand/v2"
	"strconv"

	"boxfleet/artifacts"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// guestModule is guest/guest.c, built.
//
//go:embed guest/guest.wasm
var guestModule []byte

// lcg is the guest's generator.
type lcg uint32

func (s *lcg) next() byte {
	*s = *s*1664525 + 1013904223
	return byte(*s >> 24)
}

// expected is what the guest makes of an input under a number: its result
// file, and so much standard output.
func expected(number uint32, input []byte, stdout int) (result, out []byte) {
	s := lcg(number)
	result = make([]byte, len(input))
	for i := range input {
		result[i] = input[i] ^ s.next()
	}
	s = lcg(number)
	out = make([]byte, stdout)
	for i := range out {
		out[i] = 'a' + s.next()%26
	}
	return result, out
}

// input is a directory that jobs read.
type input struct {
	data   []byte
	source string // sha256:<tree>
}

// task is one job as the suite means it.
type task struct {
	id       string
	tenant   string
	priority jobs.Priority
	number   uint32
	busy     int // turns of a loop
	stdout   int // bytes
	input    int
	poison   bool
}

// tasks makes the jobs of a run, one after the other.
type tasks struct {
	rng     *rand.Rand
	run     string // prefix of ids
	n       uint32
	tenants []string
	inputs  int
}

func (t *tasks) next() *task {
	t.n++
	k := &task{
		id: fmt.Sprintf("%s-%06d", t.run, t.n), number: t.n,
		tenant: t.tenants[t.rng.IntN(len(t.tenants))], priority: jobs.Priorities[t.rng.IntN(len(jobs.Priorities))],
		input: t.rng.IntN(t.inputs), busy: t.rng.IntN(200_000), stdout: t.rng.IntN(200),
	}
	switch t.rng.IntN(40) {
	case 0: // some run for a while, and die in the middle
		k.busy = 5_000_000 + t.rng.IntN(20_000_000)
	case 1: // some print more than fits into a record
		k.stdout = jobs.InlineOutput + 1 + t.rng.IntN(100_000)
	}
	return k
}

// poisonAttempts is the budget of a poison job.
const poisonAttempts = 3

// patience is the budget of all others: it must be the fleet that spends no
// attempt in vain, not the harness that is generous, but a fault plan of
// minutes may well hit one job five times.
const patience = 50

// job is the task as it travels.
func (k *task) job(tool jobs.Tool, inputs []input) *jobs.Job {
	j := &jobs.Job{ID: k.id, Tenant: k.tenant, Priority: k.priority, Tool: tool}
	if k.poison {
		j.Args = []string{"spin"}
		j.Options.WasmTimeout = poisonTimeout
		j.Retry.MaxAttempts = poisonAttempts
		return j
	}
	j.Args = []string{strconv.FormatUint(uint64(k.number), 10), strconv.Itoa(k.busy), strconv.Itoa(k.stdout)}
	j.Retry.MaxAttempts = patience
	j.Options.WorkDir = &limits.Mount{Mode: limits.ReadWrite}
	j.Options.MapDirs = []limits.Mount{{Source: inputs[k.input].source, Guest: "/in"}}
	return j
}

// check says what is wrong with a task's result, given the bytes of its result
// file and its whole standard output.
func (k *task) check(res *jobs.Result, in, file, stdout []byte) error {
	want, out := expected(k.number, in, k.stdout)
	switch {
	case len(res.Outputs) != 1 || res.Outputs[0].Path != "result":
		return fmt.Errorf("outputs %+v, want one file, result", res.Outputs)
	case res.Outputs[0].SHA256 != artifacts.DigestBytes(want).Hex() || res.Outputs[0].Size != int64(len(want)):
		return fmt.Errorf("the result is listed as %+v, which is not what input %d gives under number %d", res.Outputs[0], k.input, k.number)
	case string(file) != string(want):
		return fmt.Errorf("the result's %d bytes are not what input %d gives under number %d", len(file), k.input, k.number)
	case string(stdout) != string(out):
		return fmt.Errorf("standard output of %d bytes is not the %d expected", len(stdout), len(out))
	}
	return nil
}
