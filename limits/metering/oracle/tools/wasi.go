package main

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

const (
	wasiModule = "wasi_snapshot_preview1"

	errnoSuccess = 0
	errnoBadf    = 8
	errnoNosys   = 52

	filetypeCharacterDevice = 2

	tick   = 1_000     // nanoseconds from one look at a clock to the next
	sleep  = 1_000_000 // nanoseconds that every poll takes
	random = 4         // every random byte
)

// wasi answers a guest from fixed values alone: its arguments, standard input,
// clocks that advance by a constant, one random byte for ever, an empty
// environment and no files. What it does not know gives ENOSYS. The class of
// this name in tools.py is its twin: change both or neither.
type wasi struct {
	args   []string
	stdin  []byte
	stdout []byte
	clock  uint64
}

// register defines every function of WASI that the module imports.
func (w *wasi) register(ctx context.Context, rt wazero.Runtime, code wazero.CompiledModule) error {
	known := map[string]func(mem api.Memory, p []uint64) uint64{
		"args_sizes_get":    w.argsSizesGet,
		"args_get":          w.argsGet,
		"environ_sizes_get": w.environSizesGet,
		"environ_get":       func(api.Memory, []uint64) uint64 { return errnoSuccess },
		"clock_time_get":    w.clockTimeGet,
		"random_get":        w.randomGet,
		"fd_read":           w.fdRead,
		"fd_write":          w.fdWrite,
		"fd_close":          func(api.Memory, []uint64) uint64 { return errnoSuccess },
		"fd_fdstat_get":     w.fdFdstatGet,
		"fd_prestat_get":    func(api.Memory, []uint64) uint64 { return errnoBadf },
		"poll_oneoff":       w.pollOneoff,
		"sched_yield":       func(api.Memory, []uint64) uint64 { return errnoSuccess },
		"proc_exit":         func(_ api.Memory, p []uint64) uint64 { panic(sys.NewExitError(uint32(p[0]))) },
	}
	b := rt.NewHostModuleBuilder(wasiModule)
	seen := map[string]bool{}
	for _, f := range code.ImportedFunctions() {
		module, name, _ := f.Import()
		if module != wasiModule || seen[name] {
			continue
		}
		seen[name] = true
		answer := known[name]
		if answer == nil {
			answer = func(api.Memory, []uint64) uint64 { return errnoNosys }
		}
		results := len(f.ResultTypes())
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, mod api.Module, stack []uint64) {
			p := make([]uint64, len(f.ParamTypes()))
			for i := range p {
				p[i] = uint64(uint32(stack[i])) // the engine leaves anything above an i32
			}
			if errno := answer(mod.Memory(), p); results == 1 {
				stack[0] = errno
			}
		}), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// write puts bytes into the guest's memory; a place outside of it ends the run.
func write(mem api.Memory, at uint64, b []byte) {
	if !mem.Write(uint32(at), b) {
		panic(fmt.Errorf("the guest gave an address outside its memory: %d and %d bytes", uint32(at), len(b)))
	}
}

func read(mem api.Memory, at, size uint64) []byte {
	b, ok := mem.Read(uint32(at), uint32(size))
	if !ok {
		panic(fmt.Errorf("the guest gave an address outside its memory: %d and %d bytes", uint32(at), uint32(size)))
	}
	return b
}

func le32(n int) []byte    { return binary.LittleEndian.AppendUint32(nil, uint32(n)) }
func le64(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

func (w *wasi) argsSizesGet(mem api.Memory, p []uint64) uint64 {
	size := 0
	for _, a := range w.args {
		size += len(a) + 1
	}
	write(mem, p[0], le32(len(w.args)))
	write(mem, p[1], le32(size))
	return errnoSuccess
}

func (w *wasi) argsGet(mem api.Memory, p []uint64) uint64 {
	at := p[1]
	for i, a := range w.args {
		write(mem, p[0]+4*uint64(i), le32(int(at)))
		write(mem, at, append([]byte(a), 0))
		at += uint64(len(a)) + 1
	}
	return errnoSuccess
}

func (w *wasi) environSizesGet(mem api.Memory, p []uint64) uint64 {
	write(mem, p[0], le32(0))
	write(mem, p[1], le32(0))
	return errnoSuccess
}

func (w *wasi) clockTimeGet(mem api.Memory, p []uint64) uint64 {
	w.clock += tick
	write(mem, p[2], le64(w.clock))
	return errnoSuccess
}

func (w *wasi) randomGet(mem api.Memory, p []uint64) uint64 {
	b := read(mem, p[0], p[1])
	for i := range b {
		b[i] = random
	}
	return errnoSuccess
}

// fdRead fills the first buffer only, as a short read may.
func (w *wasi) fdRead(mem api.Memory, p []uint64) uint64 {
	if p[0] != 0 {
		return errnoBadf
	}
	n := 0
	if p[2] > 0 {
		iovec := read(mem, p[1], 8)
		n = min(int(binary.LittleEndian.Uint32(iovec[4:])), len(w.stdin))
		write(mem, uint64(binary.LittleEndian.Uint32(iovec)), w.stdin[:n])
		w.stdin = w.stdin[n:]
	}
	write(mem, p[3], le32(n))
	return errnoSuccess
}

func (w *wasi) fdWrite(mem api.Memory, p []uint64) uint64 {
	if p[0] != 1 && p[0] != 2 {
		return errnoBadf
	}
	n := 0
	for i := range p[2] {
		iovec := read(mem, p[1]+8*i, 8)
		b := read(mem, uint64(binary.LittleEndian.Uint32(iovec)), uint64(binary.LittleEndian.Uint32(iovec[4:])))
		if p[0] == 1 {
			w.stdout = append(w.stdout, b...)
		}
		n += len(b)
	}
	write(mem, p[3], le32(n))
	return errnoSuccess
}

func (w *wasi) fdFdstatGet(mem api.Memory, p []uint64) uint64 {
	if p[0] > 2 {
		return errnoBadf
	}
	b := make([]byte, 24)
	b[0] = filetypeCharacterDevice
	write(mem, p[1], b)
	return errnoSuccess
}

// pollOneoff says that everything has happened, after a fixed time. An event
// begins as its subscription does, with the caller's data; then come an errno
// and the kind.
func (w *wasi) pollOneoff(mem api.Memory, p []uint64) uint64 {
	w.clock += sleep
	for i := range p[2] {
		subscription := read(mem, p[0]+48*i, 9)
		event := make([]byte, 32)
		copy(event, subscription[:8])
		event[10] = subscription[8]
		write(mem, p[1]+32*i, event)
	}
	write(mem, p[3], le32(int(p[2])))
	return errnoSuccess
}
