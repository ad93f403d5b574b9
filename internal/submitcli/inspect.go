package submitcli

import (
	"errors"
	"fmt"

	"boxfleet/jobs"
	"boxfleet/limits/component"
	"boxfleet/limits/guestabi"
	"boxfleet/limits/metering"
)

// inspected is what can be known of a module without an engine.
type inspected struct {
	kind    string         // jobs.KindCommand or jobs.KindComponent
	wasi    string         // version of WASI; "" when it imports nothing of it
	core    *metering.Info // of a component: of its main module
	imports []string       // modules or interfaces, without functions
	command bool           // it has a start that a worker calls
}

// wasi01 is what manifests call WASI preview 1.
const wasi01 = "0.1"

// inspectModule reads a module and refuses one that the fleet cannot run, with
// every reason. What could be read comes with the error.
func inspectModule(wasm []byte) (*inspected, error) {
	if component.Is(wasm) {
		info, err := component.Inspect(wasm)
		if err != nil {
			return nil, fmt.Errorf("a component that the fleet cannot run: %w", err)
		}
		return &inspected{kind: jobs.KindComponent, wasi: info.Version, core: info.Core, imports: info.Imports, command: true}, nil
	}
	info, err := metering.Inspect(wasm)
	if err != nil {
		return nil, err
	}
	in := &inspected{kind: jobs.KindCommand, core: info, imports: guestabi.Modules(info.Imports), command: info.IsCommand()}
	for _, module := range in.imports {
		_, version := guestabi.SplitVersion(module)
		switch {
		case module == guestabi.Preview1 && in.wasi == "":
			in.wasi = wasi01
		case version != "" && (in.wasi == "" || in.wasi == wasi01 || guestabi.NewerPatch(version, in.wasi)):
			in.wasi = version
		}
	}
	var errs []error
	for _, e := range guestabi.Refused(info.Imports) {
		errs = append(errs, e)
	}
	if !in.command {
		errs = append(errs, errors.New("it exports no _start function: a tool is a WASI command (a program with main), not a library or reactor"))
	}
	return in, errors.Join(errs...)
}

// inspectCode also looks into function bodies, as a worker does before it
// compiles: what they hold that the fleet does not run, such as exceptions, is
// better found before a tool is pushed.
func inspectCode(wasm []byte) (*inspected, error) {
	in, err := inspectModule(wasm)
	if in == nil {
		return nil, err
	}
	program, mainErr := component.Main(wasm)
	if mainErr == nil {
		_, mainErr = metering.Rewrite(program.Wasm, metering.Config{})
	}
	return in, errors.Join(err, mainErr)
}

// stripDebug gives the module without its debug sections, and how many bytes
// that saves. The fleet never uses them, and every worker would fetch and keep
// them. The function names, which traps are reported with, stay. What is no
// valid core module, or a component, is given as it is.
func stripDebug(wasm []byte) ([]byte, int) {
	const header = 8
	if component.Is(wasm) || len(wasm) < header {
		return wasm, 0
	}
	out := append(make([]byte, 0, len(wasm)), wasm[:header]...)
	for at := header; at < len(wasm); {
		size, n := leb(wasm[at+1:])
		end := at + 1 + n + size
		if n == 0 || size < 0 || end > len(wasm) || end < at {
			return wasm, 0
		}
		if !isDebug(wasm[at], wasm[at+1+n:end]) {
			out = append(out, wasm[at:end]...)
		}
		at = end
	}
	return out, len(wasm) - len(out)
}

// isDebug tells whether a section is one of DWARF's, or tells where they are.
func isDebug(id byte, body []byte) bool {
	if id != 0 {
		return false
	}
	size, n := leb(body)
	if n == 0 || size < 0 || size > len(body)-n {
		return false
	}
	name := string(body[n : n+size])
	return len(name) > len(".debug_") && name[:len(".debug_")] == ".debug_" || name == "external_debug_info" || name == "sourceMappingURL"
}

// leb reads an unsigned LEB128 number of at most 32 bits and tells how many
// bytes it takes; 0 for none that is valid.
func leb(b []byte) (value, n int) {
	for i := range min(len(b), 5) {
		value |= int(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			if value > 1<<32-1 {
				return 0, 0
			}
			return value, i + 1
		}
	}
	return 0, 0
}
