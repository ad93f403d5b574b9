// Package guest holds the modules that a load test's jobs run: one that returns
// at once, one that does as much as it is told and says so, and modules made on
// the spot, so that a fleet has never seen them.
package guest

import (
	"bytes"
	_ "embed" // the modules beside this file
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
)

// Noop is a command that returns at once: 50 bytes, so that a job of it costs
// what the fleet costs.
//
//go:embed noop.wasm
var Noop []byte

// Work is a command that computes, waits and repeats a text; see [WorkArgs] and
// work.wat.
//
//go:embed work.wasm
var Work []byte

// WorkFile is the file that [Work] writes into its first mounted directory.
const WorkFile = "out"

// WorkArgs are Work's arguments: rounds of an xorshift, a time to wait without
// using a core (whole milliseconds count), and the text that it writes.
func WorkArgs(rounds int, wait time.Duration, text string) []string {
	return []string{strconv.Itoa(rounds), strconv.FormatInt(wait.Milliseconds(), 10), text}
}

// Padded is [Noop] with a passive data segment of n bytes: the size of a small
// tool without its work.
func Padded(n int) []byte {
	segment := append([]byte{1, 1}, leb(n)...) // one segment, passive
	segment = append(segment, bytes.Repeat([]byte("boxfleet"), n/8+1)[:n]...)
	code := bytes.Index(Noop, section(10, []byte{1, 2, 0, 11}))
	out := bytes.Clone(Noop[:code])
	out = append(out, section(12, []byte{1})...) // data count
	out = append(out, Noop[code:]...)
	return append(out, section(11, segment)...)
}

// Tagged is the module with a custom section of that text: it does what it did
// under another digest. No cache knows it, so it is compiled anew.
func Tagged(wasm []byte, tag string) []byte {
	name := "boxfleet.loadtest"
	body := append(leb(len(name)), name...)
	return append(bytes.Clone(wasm), section(0, append(body, tag...))...)
}

// Code is a module of so many functions, about 100 bytes each, that writes text
// to standard output. Its code takes part of seed, so that modules of other
// seeds share nothing with it.
func Code(functions int, seed uint32, text string) []byte {
	const writes, adds, starts = 0, 1, 2 // types
	const dataAt = 64
	out := []byte("\x00asm\x01\x00\x00\x00")
	out = append(out, section(1, []byte{3,
		0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f,
		0x60, 1, 0x7f, 1, 0x7f,
		0x60, 0, 0})...)
	imports := []byte{1}
	for _, name := range []string{"wasi_snapshot_preview1", "fd_write"} {
		imports = append(append(imports, leb(len(name))...), name...)
	}
	out = append(out, section(2, append(imports, 0, writes))...)
	types := leb(functions + 1)
	for range functions {
		types = append(types, adds)
	}
	out = append(out, section(3, append(types, starts))...)
	out = append(out, section(5, []byte{1, 0, 1})...)
	exports := append([]byte{2, 6}, "memory\x02\x00\x06_start\x00"...)
	out = append(out, section(7, append(exports, leb(functions+1)...))...)

	bodies := leb(functions + 1)
	for i := range functions {
		body := mixing(seed + uint32(i)*0x9e3779b9)
		bodies = append(append(bodies, leb(len(body))...), body...)
	}
	start := []byte{0}
	for _, n := range []int{0, functions - 1} { // the first and the last are used
		start = append(append(append(start, 0x41), sleb(int32(seed))...), 0x10)
		start = append(append(start, leb(n+1)...), 0x1a)
	}
	start = append(start, 0x41, 1, 0x41, 0, 0x41, 1, 0x41, 8, 0x10, 0, 0x1a, 11) // fd_write(1, 0, 1, 8)
	bodies = append(append(bodies, leb(len(start))...), start...)
	out = append(out, section(10, bodies)...)

	memory := make([]byte, dataAt)
	binary.LittleEndian.PutUint32(memory[0:], dataAt)
	binary.LittleEndian.PutUint32(memory[4:], uint32(len(text)))
	memory = append(memory, text...)
	data := append([]byte{1, 0, 0x41, 0, 11}, leb(len(memory))...)
	return append(out, section(11, append(data, memory...))...)
}

// mixing is the body of a function that mixes its parameter with constants.
func mixing(seed uint32) []byte {
	body := []byte{0, 0x20, 0} // no locals; local.get 0
	for _, op := range []byte{0x6c, 0x6a, 0x73, 0x77, 0x6c, 0x6b, 0x73, 0x78, 0x6a, 0x6c, 0x72, 0x73} {
		seed = seed*1664525 + 1013904223
		body = append(append(append(body, 0x41), sleb(int32(seed))...), op)
		body = append(body, 0x20, 0, 0x73) // xor with the parameter
	}
	return append(body, 11)
}

// section is one section of a module's binary form.
func section(id byte, body []byte) []byte {
	return append(append([]byte{id}, leb(len(body))...), body...)
}

// leb is an unsigned LEB128 number.
func leb(v int) []byte {
	return binary.AppendUvarint(nil, uint64(v))
}

// sleb is a signed LEB128 number.
func sleb(v int32) (b []byte) {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// Tag is the text that tells the nth module of a run from all others.
func Tag(run string, n int) string { return fmt.Sprintf("module %d of run %s", n, run) }
