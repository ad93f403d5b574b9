package wasip1

import (
	"context"
	"runtime"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// procExit ends the guest. Its call fails with a *sys.ExitError of wazero.
func procExit(ctx context.Context, mod api.Module, stack []uint64) {
	fromContext(ctx).enter(mod)
	code := uint32(stack[0])
	// The module is closed first so that nothing else enters it, and the panic
	// keeps the guest from running on behind the call.
	_ = mod.CloseWithExitCode(ctx, code)
	panic(sys.NewExitError(code))
}

// procRaise has no signals to raise.
func (s *System) procRaise([]uint64) errno { return errNotsup }

func (s *System) schedYield([]uint64) errno {
	runtime.Gosched()
	return errSuccess
}

func (s *System) argsGet(p []uint64) errno {
	return s.putStrings(s.args, s.argBytes, uint32(p[0]), uint32(p[1]))
}

func (s *System) argsSizesGet(p []uint64) errno {
	return s.putSizes(len(s.args), s.argBytes, uint32(p[0]), uint32(p[1]))
}

func (s *System) environGet(p []uint64) errno {
	return s.putStrings(s.env, s.envBytes, uint32(p[0]), uint32(p[1]))
}

func (s *System) environSizesGet(p []uint64) errno {
	return s.putSizes(len(s.env), s.envBytes, uint32(p[0]), uint32(p[1]))
}

func (s *System) putSizes(count, size int, countAt, sizeAt uint32) errno {
	if e := s.putU32(countAt, uint32(count)); e != errSuccess {
		return e
	}
	return s.putU32(sizeAt, uint32(size))
}

// putStrings writes NUL-terminated strings and a table of pointers to them.
func (s *System) putStrings(list []string, size int, tableAt, dataAt uint32) errno {
	table, ok := s.bytes(tableAt, uint32(4*len(list)))
	if !ok {
		return errFault
	}
	data, ok := s.bytes(dataAt, uint32(size))
	if !ok {
		return errFault
	}
	at := 0
	for i, str := range list {
		le.PutUint32(table[4*i:], dataAt+uint32(at))
		at += copy(data[at:], str)
		data[at] = 0
		at++
	}
	return errSuccess
}
