package launcher

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

//go:embed launcher.wasm
var launcherModule []byte

// Revision names the functions of launcher.wat, for keys of what is built with
// them.
func Revision() []byte { return slices.Clone(launcherModule) }

const (
	// placeholder stands in launcher.wat for the address of the added page.
	placeholder = 0x7eadbee0
	// lengthAt is where on that page the program's length is; its text follows.
	lengthAt = 12
	// maxProgram keeps clear of the page's end, where an allocator that takes
	// all memory at its first use puts its last marker.
	maxProgram = bytesPerPage - 1024
)

// Patch returns the module with the launcher in it and without its sections for
// debuggers. Program is what the interpreter runs, as with -c, to print the
// help. The same arguments give the same bytes.
//
// The error says which part of the shape that the package describes is missing.
func Patch(module []byte, program string) ([]byte, error) {
	if len(program) > maxProgram || bytes.IndexByte([]byte(program), 0) >= 0 {
		return nil, fmt.Errorf("the program that prints the help has %d bytes: want at most %d, and no NUL", len(program), maxProgram)
	}
	all, err := split(module)
	if err != nil {
		return nil, err
	}
	pair, err := pairType(all)
	if err != nil {
		return nil, err
	}
	imported, err := countImports(all)
	if err != nil {
		return nil, err
	}
	page, err := addPage(all)
	if err != nil {
		return nil, err
	}
	defined, err := addFunctions(all, pair)
	if err != nil {
		return nil, err
	}
	if err := addCode(all, page, imported+defined); err != nil {
		return nil, err
	}
	if err := addData(all, page, program); err != nil {
		return nil, err
	}
	return join(all), nil
}

// pairType finds the type (i32, i32) -> i32.
func pairType(all []section) (uint32, error) {
	s, err := find(all, typeSection)
	if err != nil {
		return 0, err
	}
	r := reader{s.content}
	n, err := r.u32()
	for i := uint32(0); err == nil && i < n; i++ {
		var form byte
		if form, err = r.byte(); err != nil {
			break
		}
		if form != 0x60 {
			return 0, fmt.Errorf("type %d is not a function's but of form %#x", i, form)
		}
		var params, results []byte
		if params, err = r.bytes(); err != nil {
			break
		}
		if results, err = r.bytes(); err == nil && string(params) == "\x7f\x7f" && string(results) == "\x7f" {
			return i, nil
		}
	}
	if err == nil {
		err = errors.New("no function takes two i32 and gives one")
	}
	return 0, fmt.Errorf("types: %w", err)
}

// countImports sees that the imports start with args_get and args_sizes_get, the
// numbers by which the launcher calls them, and that all are functions.
func countImports(all []section) (uint32, error) {
	s, err := find(all, imports)
	if err != nil {
		return 0, err
	}
	r := reader{s.content}
	n, err := r.u32()
	if err != nil {
		return 0, fmt.Errorf("imports: %w", err)
	}
	want := []string{"args_get", "args_sizes_get"}
	for i := range n {
		from, err1 := r.bytes()
		name, err2 := r.bytes()
		kind, err3 := r.byte()
		if err := errors.Join(err1, err2, err3); err != nil {
			return 0, fmt.Errorf("import %d: %w", i, err)
		}
		if kind != 0 {
			return 0, fmt.Errorf("import %d, %s.%s, is no function", i, from, name)
		}
		if _, err := r.u32(); err != nil {
			return 0, fmt.Errorf("import %d: %w", i, err)
		}
		if int(i) < len(want) && (string(from) != wasiModule || string(name) != want[i]) {
			return 0, fmt.Errorf("import %d is %s.%s: want %s.%s", i, from, name, wasiModule, want[i])
		}
	}
	if int(n) < len(want) {
		return 0, fmt.Errorf("it has %d imports: want args_get and args_sizes_get among them", n)
	}
	return n, nil
}

// addPage makes the initial memory a page larger and returns the page's address.
func addPage(all []section) (int32, error) {
	s, err := find(all, memories)
	if err != nil {
		return 0, err
	}
	r := reader{s.content}
	n, err1 := r.u32()
	flags, err2 := r.byte()
	least, err3 := r.u32()
	if err := errors.Join(err1, err2, err3); err != nil {
		return 0, fmt.Errorf("memories: %w", err)
	}
	if n != 1 || flags > 1 {
		return 0, fmt.Errorf("it has %d memories, the first with flags %d: want one of 32 bits that is not shared", n, flags)
	}
	most := uint32(maxPages)
	if flags == 1 {
		if most, err = r.u32(); err != nil {
			return 0, fmt.Errorf("memories: %w", err)
		}
	}
	// An address has to fit the operand of i32.const, which is signed.
	if least >= most || least >= maxPages/2 {
		return 0, fmt.Errorf("its memory starts with %d pages and ends with %d: there is no room for one more", least, most)
	}
	content := appendU32([]byte{1, flags}, least+1)
	if flags == 1 {
		content = appendU32(content, most)
	}
	s.content = content
	return int32(least * bytesPerPage), nil
}

// addFunctions declares the launcher's two functions and returns how many there
// were before them.
func addFunctions(all []section, pair uint32) (uint32, error) {
	s, err := find(all, functions)
	if err != nil {
		return 0, err
	}
	r := reader{s.content}
	n, err := r.u32()
	if err != nil {
		return 0, fmt.Errorf("functions: %w", err)
	}
	content := append(appendU32(nil, n+2), r.rest...)
	s.content = appendU32(appendU32(content, pair), pair)
	return n, nil
}

// A C program's call of a WASI function leaves a 32-bit number of which C's
// uint16_t takes the lower half: i32.const 65535, i32.and. The call and what
// follows it are looked for as bytes; that each is found once, in a module of a
// known digest, is what makes this safe.
var (
	callGet   = []byte{0x10, 0, 0x41, 0xff, 0xff, 0x03, 0x71}
	callSizes = []byte{0x10, 1, 0x41, 0xff, 0xff, 0x03, 0x71}
)

// addCode appends the launcher's functions, whose numbers start at first, and
// lets them be called.
func addCode(all []section, page int32, first uint32) error {
	s, err := find(all, code)
	if err != nil {
		return err
	}
	bodies, err := vectors(s.content)
	if err != nil {
		return fmt.Errorf("code: %w", err)
	}
	for _, call := range []struct {
		name string
		site []byte
		to   uint32
	}{{"args_sizes_get", callSizes, first}, {"args_get", callGet, first + 1}} {
		found := 0
		for i, body := range bodies {
			n := bytes.Count(body, call.site)
			if n == 0 {
				continue
			}
			found += n
			bodies[i] = bytes.ReplaceAll(body, call.site, append(appendU32([]byte{0x10}, call.to), call.site[2:]...))
		}
		if found != 1 {
			return fmt.Errorf("%s is called in %d places: want one", call.name, found)
		}
	}
	own, err := launcherBodies(page)
	if err != nil {
		return err
	}
	bodies = append(bodies, own...)
	content := appendU32(nil, uint32(len(bodies)))
	for _, body := range bodies {
		content = appendVector(content, body)
	}
	s.content = content
	return nil
}

// launcherBodies are the launcher's functions for a page at this address.
func launcherBodies(page int32) ([][]byte, error) {
	all, err := split(launcherModule)
	if err != nil {
		return nil, fmt.Errorf("launcher.wasm: %w", err)
	}
	s, err := find(all, code)
	if err != nil {
		return nil, fmt.Errorf("launcher.wasm: %w", err)
	}
	bodies, err := vectors(s.content)
	if err != nil {
		return nil, fmt.Errorf("launcher.wasm: code: %w", err)
	}
	if len(bodies) != 2 {
		return nil, fmt.Errorf("launcher.wasm has %d functions: want 2", len(bodies))
	}
	old, now := appendS32([]byte{0x41}, placeholder), appendS32([]byte{0x41}, page)
	for i, body := range bodies {
		if !bytes.Contains(body, old) {
			return nil, fmt.Errorf("function %d of launcher.wasm does not use the page", i)
		}
		bodies[i] = bytes.ReplaceAll(body, old, now)
	}
	return bodies, nil
}

// vectors reads a number and as many pieces, each with its length before it.
func vectors(content []byte) ([][]byte, error) {
	r := reader{content}
	n, err := r.u32()
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for range n {
		b, err := r.bytes()
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	if len(r.rest) > 0 {
		return nil, fmt.Errorf("%d bytes too many", len(r.rest))
	}
	return all, nil
}

// addData puts the program's length and text onto the added page.
func addData(all []section, page int32, program string) error {
	s, err := find(all, data)
	if err != nil {
		return err
	}
	r := reader{s.content}
	n, err := r.u32()
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	content := append(appendU32(nil, n+1), r.rest...)
	content = append(content, 0, 0x41) // an active segment of memory 0; i32.const
	content = append(appendS32(content, page+lengthAt), 0x0b)
	text := binary.LittleEndian.AppendUint32(nil, uint32(len(program)))
	s.content = appendVector(content, append(text, program+"\x00"...))
	if count, err := find(all, dataCount); err == nil {
		count.content = appendU32(nil, n+1)
	}
	return nil
}
