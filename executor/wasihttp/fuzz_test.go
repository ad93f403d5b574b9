package wasihttp

import (
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/sys"

	"boxfleet/executor/outbound"
	"boxfleet/executor/sandboxfs"
)

// sooner ends a run after a number of host calls, and every wait at once.
type sooner struct{ left int }

var errSooner = errors.New("enough calls")

func (s *sooner) Done() <-chan struct{} { return nil }
func (s *sooner) Check() error {
	if s.left--; s.left < 0 {
		return errSooner
	}
	return nil
}

// FuzzHostCalls plays random guests: each six bytes of the input are one host call with its arguments. Whatever they
// do, a guest ends by a trap or not at all, the host never crashes, and nothing is left when it is closed.
func FuzzHostCalls(f *testing.F) {
	names := driverImports()
	index := map[string]byte{}
	for i, n := range names {
		index[strings.TrimPrefix(n, "wasi:http/types#")] = byte(i)
	}
	op := func(fn string, args ...byte) []byte {
		return append(append([]byte{index[fn]}, args...), make([]byte, 5-len(args))...)
	}
	join := func(ops ...[]byte) (all []byte) {
		for _, o := range ops {
			all = append(all, o...)
		}
		return all
	}
	f.Add(join(op("[constructor]fields"), op("[constructor]outgoing-request", 1), op("[method]outgoing-request.headers", 1), op("[resource-drop]outgoing-request", 1)))
	f.Add(join(op("[constructor]fields"), op("[method]fields.append", 1, 200, 3, 200, 3), op("[method]fields.entries", 1, 192), op("[method]fields.clone", 1), op("[resource-drop]fields", 1), op("[resource-drop]fields", 1)))
	get := join(op("[constructor]fields"), op("[constructor]outgoing-request", 1), op("[method]outgoing-request.set-scheme", 1, 1, 0), op("[method]outgoing-request.set-authority", 1, 1, 201, 255))
	f.Add(join(get, op("wasi:http/outgoing-handler#handle", 1, 0, 0, 192), op("[method]future-incoming-response.subscribe", 1), op("wasi:io/poll#[method]pollable.block", 2), op("wasi:io/poll#[resource-drop]pollable", 2), op("[method]future-incoming-response.get", 1, 192), op("[method]incoming-response.consume", 2, 192), op("[method]incoming-body.stream", 3, 192), op("wasi:io/streams#[method]input-stream.blocking-read", 4, 16, 192), op("wasi:io/streams#[method]input-stream.subscribe", 4)))
	f.Add(join(get, op("[method]outgoing-request.set-method", 1, 2), op("[method]outgoing-request.body", 1, 192), op("[method]outgoing-body.write", 2, 192), op("wasi:http/outgoing-handler#handle", 1, 0, 0, 192), op("wasi:io/streams#[method]output-stream.blocking-write-zeroes-and-flush", 3, 100, 192), op("wasi:io/streams#[resource-drop]output-stream", 3), op("[static]outgoing-body.finish", 2, 0, 0, 192)))
	f.Add(join(op("wasi:clocks/monotonic-clock#subscribe-duration", 1), op("wasi:io/poll#poll", 200, 1, 192), op("wasi:io/poll#[method]pollable.ready", 1), op("wasi:random/random#get-random-bytes", 100, 192)))

	const fsys = "wasi:filesystem/types#"
	dirs := op("wasi:filesystem/preopens#get-directories", 192)
	f.Add(join(dirs, op(fsys+"[method]descriptor.open-at", 1, 1, 203, 1, 1), op(fsys+"[method]descriptor.write-via-stream", 2, 0, 192), op("wasi:io/streams#[method]output-stream.blocking-write-and-flush", 3, 200, 50, 192), op(fsys+"[resource-drop]descriptor", 2), op("wasi:io/streams#[resource-drop]output-stream", 3)))
	f.Add(join(dirs, op(fsys+"[method]descriptor.read-directory", 1, 192), op(fsys+"[method]directory-entry-stream.read-directory-entry", 2, 192), op(fsys+"[method]descriptor.stat", 1, 192), op(fsys+"[method]descriptor.is-same-object", 1, 1)))
	f.Add(join(dirs, op(fsys+"[method]descriptor.create-directory-at", 1, 203, 1, 192), op(fsys+"[method]descriptor.set-times", 1, 2, 2, 2, 2), op(fsys+"[method]descriptor.link-at", 1, 0, 203, 1, 1)))
	f.Add(join(op("wasi:cli/stdin#get-stdin"), op("wasi:cli/stdout#get-stdout"), op("wasi:io/streams#[method]output-stream.splice", 2, 1, 9, 192), op("wasi:io/streams#[method]input-stream.blocking-skip", 1, 9, 192), op("wasi:cli/environment#get-environment", 192), op("wasi:cli/environment#get-arguments", 192)))
	f.Add(join(op("wasi:sockets/instance-network#instance-network"), op("wasi:sockets/ip-name-lookup#resolve-addresses", 1, 200, 3, 192), op("wasi:sockets/tcp#[method]tcp-socket.start-bind", 1), op("wasi:cli/exit#exit", 1)))

	s := serve(f, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "some body")
	})
	authority := strings.TrimPrefix(s.URL, "http://")
	allowed := policy(f, "*")
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 6*64 {
			return
		}
		dir := t.TempDir()
		files, err := sandboxfs.New([]sandboxfs.Mount{{Guest: "/", Host: dir, Mode: sandboxfs.ReadWrite}}, sandboxfs.Quota{Files: 8, OpenFiles: 8, WrittenBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer files.Close()
		g := newGuest(t, Config{
			Policy: allowed, Interrupter: &sooner{left: 200}, Handles: 32, Limits: outbound.Limits{Requests: 4}, FS: files,
			Program: Program{Args: []string{"guest"}, Env: [][2]string{{"A", "1"}}, Stdin: strings.NewReader("typed"), Stdout: io.Discard},
		})
		mem := g.mod.Memory()
		mem.Write(2048, []byte{1, 0, 0, 0, 2, 0, 0, 0})
		mem.Write(2056, []byte(authority))
		mem.Write(2120, []byte("x-a"))
		mem.Write(2124, []byte("f"))
		for len(program) >= 6 {
			fn := names[int(program[0])%len(names)]
			def := driverFunction(fn)
			args := make([]uint64, len(def.params))
			for i := range args {
				args[i] = argument(program[1:6], i, authority)
			}
			program = program[6:]
			_, err := g.call(fn, args...)
			var crash runtime.Error
			if errors.As(err, &crash) {
				t.Fatalf("%s%v crashed the host: %v", fn, args, err)
			}
			var trap *TrapError
			var exit *sys.ExitError
			if errors.As(err, &exit) {
				break // the guest's module is closed
			}
			if err != nil && !errors.As(err, &trap) && !errors.Is(err, errSooner) {
				t.Fatalf("%s%v: %v", fn, args, err)
			}
		}
		g.close()
		if g.h.table.live != 0 || g.h.fieldBytes != 0 || g.h.buffered != 0 {
			t.Fatalf("left: %d handles, %d bytes of fields, %d of bodies", g.h.table.live, g.h.fieldBytes, g.h.buffered)
		}
		if open := files.Usage().OpenFiles; open != 0 {
			t.Fatalf("left: %d open files", open)
		}
	})
}

// argument makes small numbers (handles, discriminants, lengths) likely, some bytes places in memory, and some absurd.
func argument(b []byte, i int, authority string) uint64 {
	v := b[min(i, len(b)-1)]
	switch {
	case v < 192:
		return uint64(v)
	case v == 192:
		return retArea
	case v == 200:
		return 2048
	case v == 201:
		return 2056
	case v == 202:
		return 2120
	case v == 203:
		return 2124
	case v == 255:
		return uint64(len(authority))
	case v > 248:
		return uint64(binary.LittleEndian.Uint32(b)) << (v & 7)
	}
	return driverPages<<16 - 256 + uint64(v)
}

// FuzzFields holds that no name or value passes that could end a line, and that lists survive a round trip.
func FuzzFields(f *testing.F) {
	f.Add("x-a", []byte("v"))
	f.Add("Host", []byte("v"))
	f.Add("a b", []byte("\r\nX: y"))
	f.Add("é", []byte{0xff})
	g := newGuest(f, Config{})
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		if len(name)+len(value) > 16<<10 {
			return
		}
		g.t, g.scratch = t, scratchStart
		g.freeHeap()
		fields := g.must("[constructor]fields")
		defer g.must("[resource-drop]fields", fields)
		np, nl := g.text(name)
		vp, vl := g.text(string(value))
		if _, err := g.call("[method]fields.append", fields, np, nl, vp, vl, retArea); err != nil {
			wantTrap(t, err, "not UTF-8")
			return
		}
		if g.u8(retArea) == 1 {
			return
		}
		if strings.ContainsAny(name, "\r\n\x00 :") || strings.ContainsAny(string(value), "\r\n\x00") || outbound.HopByHop(name) {
			t.Fatalf("%q: %q was taken", name, value)
		}
		if got := g.entries(fields); got != strings.ToLower(name)+": "+string(value) {
			t.Fatalf("got %q", got)
		}
	})
}
