package probe

import (
	"fmt"
	"math"
	"strconv"
	"time"
	"unsafe"
)

func exit(p *process) error {
	code, err := p.number(0, "CODE")
	p.exit = code
	return err
}

// sink keeps the compiler from dropping work whose result nobody reads.
var sink uint64

// burn computes; a round is a few wasm operators.
func burn(p *process) error {
	rounds, err := p.number(0, "ROUNDS")
	if err != nil {
		return err
	}
	x := uint64(88172645463325252)
	for range rounds {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	sink = x
	fmt.Fprintf(p.out, "burned %d rounds\n", rounds)
	return nil
}

func spin(*process) error {
	for {
		sink++
	}
}

// grow takes memory 1 MiB at a time and touches every page of it.
func grow(p *process) error {
	size, err := p.number(0, "BYTES")
	if err != nil {
		return err
	}
	var held [][]byte
	for left := size; left > 0; left -= 1 << 20 {
		block := make([]byte, min(left, 1<<20))
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		held = append(held, block)
	}
	fmt.Fprintf(p.out, "grew by %d bytes in %d blocks\n", size, len(held))
	return nil
}

func recurse(p *process) error {
	depth, err := p.number(0, "DEPTH")
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "came back from %d calls\n", descend(depth))
	return nil
}

// descend calls itself depth times and cannot be turned into a loop.
//
//go:noinline
func descend(depth int) int {
	if depth == 0 {
		return 0
	}
	return descend(depth-1) + 1
}

func sleep(p *process) error {
	seconds, err := strconv.ParseFloat(p.values[0], 64)
	if err != nil || !(seconds >= 0) || seconds > math.MaxInt64/1e9 {
		return fmt.Errorf("SECONDS is %q: want a number from 0", p.values[0])
	}
	time.Sleep(time.Duration(seconds * 1e9))
	fmt.Fprintf(p.out, "slept %s s\n", p.values[0])
	return nil
}

func panics(p *process) error {
	if len(p.values) > 0 {
		panic(p.values[0])
	}
	panic("asked to")
}

// trap touches the last page of the address space, which no memory of less than
// 4 GiB has: a WebAssembly trap and not a panic of Go's.
func trap(*process) error {
	lastPage := math.MaxUint32 - 65535
	sink = *(*uint64)(unsafe.Add(unsafe.Pointer(nil), lastPage))
	return nil
}
