package wasihttp

import (
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"boxfleet/executor/outbound"
)

// wantTrap checks that the guest was ended by a TrapError that says so, and by nothing of the host's own.
func wantTrap(t testing.TB, err error, says string) {
	t.Helper()
	var trap *TrapError
	var crash runtime.Error
	if errors.As(err, &crash) {
		t.Fatalf("the host itself crashed: %v", err)
	}
	if !errors.As(err, &trap) || !strings.Contains(trap.Error(), says) {
		t.Errorf("got %v, want a trap with %q", err, says)
	}
}

const (
	outside    = 1 << 31
	outMessage = "outside the guest's memory"
)

func TestTraps(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, strings.Repeat("x", 1000)) })
	const (
		dropFields = "[resource-drop]fields"
		appendTo   = "[method]fields.append"
		in         = "wasi:io/streams#[method]input-stream."
		out        = "wasi:io/streams#[method]output-stream."
		poll       = "wasi:io/poll#poll"
	)
	bodyStream := func(g *guest) (request, body, stream uint64) {
		request = g.request(2, s.URL+"/")
		body = g.own("[method]outgoing-request.body", request)
		return request, body, g.own("[method]outgoing-body.write", body)
	}
	response := func(g *guest) uint64 {
		r, code := g.get(s.URL + "/")
		if code >= 0 {
			t.Fatalf("error-code %d", code)
		}
		return r
	}
	tests := []struct {
		name string
		do   func(g *guest) error
		says string
	}{
		// Handles
		{"handle never given", func(g *guest) error { _, err := g.call(dropFields, 7); return err }, "handle 7 does not exist"},
		{"handle zero", func(g *guest) error { _, err := g.call(dropFields, 0); return err }, "handle 0 does not exist"},
		{"largest handle", func(g *guest) error { _, err := g.call(dropFields, 1<<32-1); return err }, "handle 4294967295 does not exist"},
		{"double drop", func(g *guest) error {
			f := g.fields()
			g.must(dropFields, f)
			_, err := g.call(dropFields, f)
			return err
		}, "does not exist"},
		{"use after drop", func(g *guest) error {
			f := g.fields()
			g.must(dropFields, f)
			_, err := g.call("[method]fields.clone", f)
			return err
		}, "does not exist"},
		{"use after being given away", func(g *guest) error {
			f := g.fields()
			g.must("[constructor]outgoing-request", f)
			_, err := g.call("[method]fields.entries", f, retArea)
			return err
		}, "of another type"}, // the request has the number now
		{"request sent twice", func(g *guest) error {
			r := g.request(0, s.URL+"/")
			g.handle(r)
			_, err := g.call("wasi:http/outgoing-handler#handle", r, 0, 0, retArea)
			return err
		}, "of another type"}, // the future has the number now
		{"handle of another type", func(g *guest) error {
			_, err := g.call("[method]incoming-response.status", g.fields())
			return err
		}, "of another type"},
		{"dropped as another type", func(g *guest) error {
			_, err := g.call("wasi:io/poll#[resource-drop]pollable", g.fields())
			return err
		}, "of another type"},
		{"reused handle of another type", func(g *guest) error {
			f := g.fields()
			g.must(dropFields, f)
			g.must("[constructor]request-options") // takes the number
			_, err := g.call(dropFields, f)
			return err
		}, "of another type"},
		{"options of another type", func(g *guest) error {
			_, err := g.call("wasi:http/outgoing-handler#handle", g.request(0, s.URL+"/"), 1, g.fields(), retArea)
			return err
		}, "of another type"},
		// Parents and children
		{"request before its headers", func(g *guest) error {
			r := g.request(0, s.URL+"/")
			g.must("[method]outgoing-request.headers", r)
			_, err := g.call("[resource-drop]outgoing-request", r)
			return err
		}, "has children"},
		{"future before its pollable", func(g *guest) error {
			f, _ := g.handle(g.request(0, s.URL+"/"))
			g.must("[method]future-incoming-response.subscribe", f)
			_, err := g.call("[resource-drop]future-incoming-response", f)
			return err
		}, "has children"},
		{"response before its headers", func(g *guest) error {
			r := response(g)
			g.must("[method]incoming-response.headers", r)
			_, err := g.call("[resource-drop]incoming-response", r)
			return err
		}, "has children"},
		{"incoming body before its stream", func(g *guest) error {
			b := g.own("[method]incoming-response.consume", response(g))
			g.own("[method]incoming-body.stream", b)
			_, err := g.call("[resource-drop]incoming-body", b)
			return err
		}, "has children"},
		{"incoming body finished under its stream", func(g *guest) error {
			b := g.own("[method]incoming-response.consume", response(g))
			g.own("[method]incoming-body.stream", b)
			_, err := g.call("[static]incoming-body.finish", b)
			return err
		}, "has children"},
		{"outgoing body finished under its stream", func(g *guest) error {
			_, b, _ := bodyStream(g)
			_, err := g.call("[static]outgoing-body.finish", b, 0, 0, retArea)
			return err
		}, "has children"},
		{"stream before its pollable", func(g *guest) error {
			_, _, st := bodyStream(g)
			g.must(out+"subscribe", st)
			_, err := g.call("wasi:io/streams#[resource-drop]output-stream", st)
			return err
		}, "has children"},
		// Streams
		{"write without asking", func(g *guest) error {
			_, _, st := bodyStream(g)
			_, err := g.call(out+"write", st, scratchStart, 1, retArea)
			return err
		}, "check-write permitted 0"},
		{"write more than permitted", func(g *guest) error {
			_, _, st := bodyStream(g)
			g.must(out+"check-write", st, retArea)
			_, err := g.call(out+"write-zeroes", st, g.u64(retArea+8)+1, retArea)
			return err
		}, "check-write permitted"},
		{"permit used twice", func(g *guest) error {
			_, _, st := bodyStream(g)
			g.must(out+"check-write", st, retArea)
			n := g.u64(retArea + 8)
			g.must(out+"write-zeroes", st, n, retArea)
			_, err := g.call(out+"write-zeroes", st, 1, retArea)
			return err
		}, "check-write permitted 0"},
		{"zeroes without end", func(g *guest) error {
			_, _, st := bodyStream(g)
			_, err := g.call(out+"write-zeroes", st, 1<<63, retArea)
			return err
		}, "check-write permitted"},
		{"blocking write of a page", func(g *guest) error {
			_, _, st := bodyStream(g)
			_, err := g.call(out+"blocking-write-and-flush", st, scratchStart, 4097, retArea)
			return err
		}, "at most 4096"},
		{"blocking zeroes without end", func(g *guest) error {
			_, _, st := bodyStream(g)
			_, err := g.call(out+"blocking-write-zeroes-and-flush", st, 1<<63, retArea)
			return err
		}, "at most 4096"},
		// Memory
		{"result outside", func(g *guest) error { _, err := g.call("[method]fields.entries", g.fields(), outside); return err }, outMessage},
		{"result over the end", func(g *guest) error {
			_, err := g.call("[method]fields.entries", g.fields(), driverPages<<16-4)
			return err
		}, outMessage},
		{"result that wraps around", func(g *guest) error { _, err := g.call("[method]fields.entries", g.fields(), 1<<32-4); return err }, outMessage},
		{"result misaligned", func(g *guest) error { _, err := g.call("[method]fields.entries", g.fields(), retArea+2); return err }, "not aligned"},
		{"result of an error-code misaligned", func(g *guest) error {
			_, err := g.call("wasi:http/outgoing-handler#handle", g.request(0, s.URL+"/"), 0, 0, retArea+4)
			return err
		}, "not aligned to 8"},
		{"name outside", func(g *guest) error {
			_, err := g.call(appendTo, g.fields(), outside, 4, 0, 0, retArea)
			return err
		}, outMessage},
		{"name of 4 GiB", func(g *guest) error {
			_, err := g.call(appendTo, g.fields(), 0, 1<<32-1, 0, 0, retArea)
			return err
		}, "longer than"},
		{"name that is not UTF-8", func(g *guest) error {
			p, n := g.text("a\xff\xfe")
			_, err := g.call(appendTo, g.fields(), p, n, p, 1, retArea)
			return err
		}, "not UTF-8"},
		{"list outside", func(g *guest) error { _, err := g.call("[static]fields.from-list", 4096, 1<<20, retArea); return err }, outMessage},
		{"list whose size wraps around", func(g *guest) error {
			_, err := g.call("[static]fields.from-list", 4096, 1<<28+1, retArea)
			return err
		}, "larger than any memory"},
		{"list misaligned", func(g *guest) error { _, err := g.call("[static]fields.from-list", 4097, 1, retArea); return err }, "not aligned to 4"},
		{"list with an entry outside", func(g *guest) error {
			p, _ := g.text("\x00\x00\x00\x80\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
			_, err := g.call("[static]fields.from-list", p, 1, retArea)
			return err
		}, outMessage},
		{"write from outside", func(g *guest) error {
			_, _, st := bodyStream(g)
			_, err := g.call(out+"blocking-write-and-flush", st, outside, 16, retArea)
			return err
		}, outMessage},
		{"randomness of 4 GiB", func(g *guest) error {
			_, err := g.call("wasi:random/random#get-random-bytes", 1<<32, retArea)
			return err
		}, "larger than a guest's memory"},
		{"randomness beyond memory", func(g *guest) error {
			_, err := g.call("wasi:random/random#get-random-bytes", 1<<30, retArea)
			return err
		}, outMessage},
		// Variants
		{"no such method", func(g *guest) error {
			_, err := g.call("[method]outgoing-request.set-method", g.request(0, s.URL+"/"), 10, 0, 0)
			return err
		}, "no case of method"},
		{"no such scheme", func(g *guest) error {
			_, err := g.call("[method]outgoing-request.set-scheme", g.request(0, s.URL+"/"), 1, 259, 0, 0)
			return err
		}, "no case of scheme"},
		{"no such option", func(g *guest) error {
			_, err := g.call("[method]outgoing-request.set-authority", g.request(0, s.URL+"/"), 2, 0, 0)
			return err
		}, "no discriminant of an option"},
		// Polling
		{"poll of nothing", func(g *guest) error { _, err := g.call(poll, scratchStart, 0, retArea); return err }, "poll of 0"},
		{"poll of millions", func(g *guest) error { _, err := g.call(poll, scratchStart, 1<<20, retArea); return err }, "poll of 1048576"},
		{"poll of what is no pollable", func(g *guest) error {
			p, _ := g.text(string([]byte{byte(g.fields()), 0, 0, 0}))
			_, err := g.call(poll, p, 1, retArea)
			return err
		}, "of another type"},
		// The server's half
		{"guest that wants to serve", func(g *guest) error { _, err := g.call("[constructor]outgoing-response", g.fields()); return err }, "serves no requests"},
		// Amounts of host memory
		{"100,000 handles", func(g *guest) error {
			for range 100_000 {
				if _, err := g.call("[constructor]fields"); err != nil {
					return err
				}
			}
			return nil
		}, "more than 4096 handles"},
		{"100,000 pollables of one stream", func(g *guest) error {
			_, _, st := bodyStream(g)
			for range 100_000 {
				if _, err := g.call(out+"subscribe", st); err != nil {
					return err
				}
			}
			return nil
		}, "more than 4096 handles"},
		{"fields without end", func(g *guest) error {
			f := g.fields()
			np, nl := g.text("x")
			for {
				if _, err := g.call(appendTo, f, np, nl, 0, 0, retArea); err != nil {
					return err
				}
			}
		}, "fields of this instance"},
		{"clones of big fields", func(g *guest) error {
			f := g.fields("x", strings.Repeat("y", 30_000))
			for {
				if _, err := g.call("[method]fields.clone", f); err != nil {
					return err
				}
			}
		}, "fields of this instance"},
		{"read with a handle of another type", func(g *guest) error { _, err := g.call(in+"read", g.fields(), 1, retArea); return err }, "of another type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t, Config{Policy: policy(t, "*")})
			wantTrap(t, tt.do(g), tt.says)
			g.close()
			if g.h.table.live != 0 || g.h.fieldBytes != 0 || g.h.buffered != 0 {
				t.Errorf("left: %d handles, %d bytes of fields, %d of bodies", g.h.table.live, g.h.fieldBytes, g.h.buffered)
			}
		})
	}
}

func TestHostileRealloc(t *testing.T) {
	url := raw(t, func(c net.Conn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nA: b\r\n\r\nbody")
	})
	for realloc, says := range map[string]string{
		"outside": outMessage, "misaligned": "", "reenters": "called from inside cabi_realloc", "traps": "", "recurses": "", "zero": "",
	} {
		t.Run(realloc, func(t *testing.T) {
			g := newGuestWith(t, Config{Policy: policy(t, "*")}, realloc)
			_, err := g.call("[method]fields.entries", g.fields("a", "b"), retArea)
			var trap *TrapError
			switch {
			case says != "":
				wantTrap(t, err, says)
			case realloc == "zero":
				if err != nil { // address 0 is memory like any other: the guest harms itself
					t.Errorf("got %v", err)
				}
			case realloc == "misaligned":
				wantTrap(t, err, "misaligned")
			case err == nil || errors.As(err, &trap):
				t.Errorf("got %v, want the guest's own trap", err)
			}
			response, code := newGuestWith(t, Config{Policy: policy(t, "*")}, "honest").get(url)
			if response == 0 {
				t.Errorf("another guest is hurt: error-code %d", code)
			}
		})
	}
}

func TestGuestWithoutHost(t *testing.T) {
	g := newGuest(t, Config{})
	_, err := g.mod.ExportedFunction("wasi:http/types#[constructor]fields").Call(t.Context())
	wantTrap(t, err, "without a wasi:http host")
}

// A guest that cleans up may go on for ever: numbers of handles are used again and nothing piles up.
func TestHandlesAreReused(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	g := newGuest(t, Config{Policy: policy(t, "*"), Limits: outbound.Limits{Requests: 1000}})
	for range 100_000 {
		f := g.must("[constructor]fields")
		g.must("[resource-drop]fields", f)
	}
	for range 100 {
		g.scratch = scratchStart
		response, code := g.get(s.URL + "/")
		if code >= 0 {
			t.Fatalf("error-code %d", code)
		}
		if body, _ := g.body(response); body != "ok" {
			t.Fatalf("got %q", body)
		}
		g.must("[resource-drop]incoming-response", response)
	}
	if st := g.h.Stats(); st.Handles != 0 || st.PeakHandles > 8 || len(g.h.table.slots) > 9 || g.h.fieldBytes != 0 || g.h.buffered != 0 {
		t.Errorf("got %+v, %d slots, %d bytes of fields", st, len(g.h.table.slots), g.h.fieldBytes)
	}
}

// Headers that were looked at may outlive the request when it is sent.
func TestHeadersOutliveASentRequest(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {})
	g := newGuest(t, Config{Policy: policy(t, "*")})
	r := g.request(0, s.URL+"/", "a", "b")
	f := g.must("[method]outgoing-request.headers", r)
	if _, code := g.handle(r); code >= 0 {
		t.Fatalf("error-code %d", code)
	}
	if got := g.entries(f); got != "a: b" {
		t.Errorf("got %q", got)
	}
	g.must("[resource-drop]fields", f)
}

// Requests whose bodies nobody sends must not fill the host's memory.
func TestUnsentBodiesAreBounded(t *testing.T) {
	g := newGuest(t, Config{Policy: policy(t, "*")})
	total := uint64(0)
	for range 100 {
		g.scratch = scratchStart
		st := g.own("[method]outgoing-body.write", g.own("[method]outgoing-request.body", g.request(2, "http://a.example/")))
		g.must("wasi:io/streams#[method]output-stream.check-write", st, retArea)
		n := g.u64(retArea + 8)
		g.must("wasi:io/streams#[method]output-stream.write-zeroes", st, n, retArea)
		total += n
	}
	if total != maxBuffered || g.h.buffered != maxBuffered {
		t.Errorf("%d bytes taken, %d held", total, g.h.buffered)
	}
}
