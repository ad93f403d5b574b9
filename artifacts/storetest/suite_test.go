package storetest

import (
	"os"
	"testing"

	"boxfleet/artifacts"

	"go.uber.org/goleak"
)

var server *Server

func TestMain(m *testing.M) {
	code := Main(m, &server)
	if err := goleak.Find(); err != nil && code == 0 {
		println(err.Error())
		code = 1
	}
	os.Exit(code)
}

func TestDevelopmentServer(t *testing.T) {
	Run(t, server.StoreVia(t, server.Addr, func(c *artifacts.Config) { c.MultipartAbove = 16 << 20 }))
}

func TestKilledServerKeepsWhatItAnswered(t *testing.T) {
	s, err := Start("")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	store := s.Store(t)
	if err := store.PutIfAbsent(t.Context(), "", "kept", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := store.Ping(t.Context()); artifacts.Class(err) != artifacts.Transient || err == nil {
		t.Fatalf("ping a dead server: %v", err)
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if b, err := store.Get(t.Context(), "", "kept", 10); err != nil || string(b) != "x" {
		t.Fatalf("after the restart: %q, %v", b, err)
	}
}
