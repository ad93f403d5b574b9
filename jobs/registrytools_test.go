package jobs

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"boxfleet/artifacts"
)

// register adds versions and fails the test when it cannot.
func (f *testFleet) register(list ...Manifest) {
	f.t.Helper()
	for _, m := range list {
		if _, err := f.client.Register(f.ctx, m); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *testFleet) resolves(ref, want string) *Manifest {
	f.t.Helper()
	m, err := f.client.Resolve(f.ctx, ref)
	if err != nil {
		if want == "" && errors.As(err, new(*NotFoundError)) {
			return nil
		}
		f.t.Errorf("%s: %v, want %s", ref, err, want)
		return nil
	}
	if got := m.Tool().String(); got != want {
		f.t.Errorf("%s is %s, want %s", ref, got, want)
	}
	return m
}

func TestChannels(t *testing.T) {
	f := newFleet(t)
	f.register(manifest("jq", "1.0.0", "aa"), manifest("jq", "1.1.0", "bb"), manifest("jq", "beta2", "cc"), manifest("other", "1.0.0", "dd"))
	move := func(channel, version, from string) error {
		_, err := f.client.MoveChannel(f.ctx, "jq", channel, version, from)
		return err
	}
	f.resolves("jq@stable", "")
	if err := move("stable", "1.0.0", ""); err != nil {
		t.Fatal(err)
	}
	f.resolves("jq@stable", "jq@1.0.0")
	f.resolves("other@stable", "")
	f.resolves("jq@latest", "jq@beta2") // words come after numbers
	if err := move("stable", "1.1.0", "1.0.0"); err != nil {
		t.Error(err)
	}
	if m := f.resolves("jq@stable", "jq@1.1.0"); m == nil || !slices.Equal(m.Channels, []string{"stable"}) {
		t.Errorf("%+v", m)
	}
	var moved *ChannelMovedError
	if err := move("stable", "1.0.0", "1.0.0"); !errors.As(err, &moved) || moved.Version != "1.1.0" {
		t.Errorf("a move from where it does not point: %v", err)
	}
	if err := move("fresh", "1.0.0", "1.0.0"); !errors.As(err, &moved) || moved.Version != "" {
		t.Errorf("a move of a channel that is not there: %v", err)
	}
	for _, tc := range []struct{ channel, version, want string }{
		{"latest", "1.0.0", "always means the newest"}, {"Stable", "1.0.0", "lower-case"}, {"beta2", "1.0.0", "has a version of this name"},
		{"a.b", "1.0.0", "lower-case"}, {"stable", "7", "not found"}, {strings.Repeat("x", 33), "1.0.0", "1 to 32"},
	} {
		if err := move(tc.channel, tc.version, ""); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s to %s: %v, want %q", tc.channel, tc.version, err, tc.want)
		}
	}
	if _, err := f.client.Register(f.ctx, manifest("jq", "stable", "ee")); err == nil || !strings.Contains(err.Error(), "is a channel") {
		t.Errorf("a version named like a channel: %v", err)
	}
	if err := f.client.RemoveChannel(f.ctx, "jq", "stable"); err != nil {
		t.Error(err)
	}
	f.resolves("jq@stable", "")
	if err := f.client.RemoveChannel(f.ctx, "jq", "stable"); !errors.As(err, new(*NotFoundError)) {
		t.Errorf("removed twice: %v", err)
	}
	if err := move("stable", "1.0.0", ""); err != nil { // a removed channel can come back
		t.Error(err)
	}
}

// TestChannelMovedByTwo lets many move a channel from the same version at once:
// exactly one of them does.
func TestChannelMovedByTwo(t *testing.T) {
	f := newFleet(t)
	const movers = 8
	for i := range movers + 1 {
		f.register(manifest("jq", fmt.Sprintf("1.%d.0", i), "aa"))
	}
	if _, err := f.client.MoveChannel(f.ctx, "jq", "stable", "1.0.0", ""); err != nil {
		t.Fatal(err)
	}
	errs := make([]error, movers)
	var wg sync.WaitGroup
	for i := range movers {
		wg.Go(func() {
			_, errs[i] = f.client.MoveChannel(f.ctx, "jq", "stable", fmt.Sprintf("1.%d.0", i+1), "1.0.0")
		})
	}
	wg.Wait()
	won := -1
	for i, err := range errs {
		switch {
		case err == nil && won < 0:
			won = i
		case err == nil:
			t.Errorf("%d and %d both moved it", won, i)
		case !errors.As(err, new(*ChannelMovedError)):
			t.Errorf("mover %d: %v", i, err)
		}
	}
	f.resolves("jq@stable", fmt.Sprintf("jq@1.%d.0", won+1))
}

func TestYank(t *testing.T) {
	f := newFleet(t)
	f.register(manifest("jq", "1.0.0", "aa"), manifest("jq", "1.1.0", "bb"))
	if err := f.client.Yank(f.ctx, "jq", "1.1.0", "eats files"); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{"jq": "jq@1.0.0", "jq@latest": "jq@1.0.0", "jq@1.1.0": "jq@1.1.0", "sha256:" + strings.Repeat("bb", 32): "jq@1.1.0"} {
		m := f.resolves(ref, want)
		if yanked := want == "jq@1.1.0"; m != nil && (m.Yanked != nil) != yanked {
			t.Errorf("%s: yanked is %+v", ref, m.Yanked)
		} else if yanked && m != nil && m.Yanked.Reason != "eats files" {
			t.Errorf("%+v", m.Yanked)
		}
	}
	if _, err := f.client.MoveChannel(f.ctx, "jq", "stable", "1.1.0", ""); err == nil || !strings.Contains(err.Error(), "eats files") {
		t.Errorf("a channel to a yanked version: %v", err)
	}
	if _, err := f.client.MoveChannel(f.ctx, "jq", "stable", "1.0.0", ""); err != nil {
		t.Fatal(err)
	}
	if err := f.client.Yank(f.ctx, "jq", "1.0.0", ""); err == nil || !strings.Contains(err.Error(), "jq@stable still points to it") {
		t.Errorf("a yank below a channel: %v", err)
	}
	if err := f.client.RemoveChannel(f.ctx, "jq", "stable"); err != nil {
		t.Error(err)
	}
	if err := f.client.Yank(f.ctx, "jq", "1.0.0", ""); err != nil {
		t.Error(err)
	}
	var missing *NotFoundError
	if _, err := f.client.Resolve(f.ctx, "jq"); !errors.As(err, &missing) || !strings.Contains(missing.Hint, "all its versions are yanked") {
		t.Errorf("a tool of yanked versions: %v", err)
	}
	for range 2 { // twice does nothing more
		if err := f.client.Unyank(f.ctx, "jq", "1.1.0"); err != nil {
			t.Error(err)
		}
	}
	f.resolves("jq", "jq@1.1.0")
	for _, err := range []error{f.client.Yank(f.ctx, "jq", "9", ""), f.client.Unyank(f.ctx, "jq", "9")} {
		if !errors.As(err, &missing) {
			t.Errorf("a version that is not there: %v", err)
		}
	}
	// The manifest itself never changed, and pushing it again does not unyank.
	f.register(manifest("jq", "1.0.0", "aa"))
	if m := f.resolves("jq@1.0.0", "jq@1.0.0"); m == nil || m.Yanked == nil {
		t.Errorf("%+v", m)
	}
}

func TestSearch(t *testing.T) {
	f := newFleet(t)
	add := func(name, version, level, description string, keywords ...string) {
		m := manifest(name, version, "aa")
		m.Level, m.Description, m.Keywords = level, description, keywords
		f.register(m)
	}
	add("jq", "1.0.0", "read_only", "Query JSON.", "json", "filter")
	add("jq", "1.1.0", "read_only", "Query JSON with a program.", "JSON", "filter")
	add("json-lint", "1.0.0", "none", "Check.", "lint")
	add("grep", "1.0.0", "read_only", "Print lines; not for json.", "search")
	add("sh", "1.0.0", "execute", "Run a script.", "shell")
	if err := f.client.Yank(f.ctx, "jq", "1.1.0", ""); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		q    ToolQuery
		want string
	}{
		{ToolQuery{}, "grep@1.0.0 jq@1.0.0 json-lint@1.0.0 sh@1.0.0"},
		{ToolQuery{Text: "json"}, "json-lint@1.0.0 jq@1.0.0 grep@1.0.0"},
		{ToolQuery{Text: " Query  JSON"}, "jq@1.0.0"},
		{ToolQuery{Text: "json query", Versions: true}, "jq@1.1.0 jq@1.0.0"},
		{ToolQuery{Text: "nothing"}, ""},
		{ToolQuery{Keywords: []string{"FILTER", "shell"}}, "jq@1.0.0 sh@1.0.0"},
		{ToolQuery{Names: []string{"sh", "grep"}}, "grep@1.0.0 sh@1.0.0"},
		{ToolQuery{Keep: func(m *Manifest) bool { return m.Level == "none" }}, "json-lint@1.0.0"},
	} {
		list, err := f.client.SearchTools(f.ctx, tc.q)
		var got []string
		for _, m := range list {
			got = append(got, m.Name+"@"+m.Version)
		}
		if err != nil || strings.Join(got, " ") != tc.want {
			t.Errorf("%+v: %v, %v; want %s", tc.q, got, err, tc.want)
		}
	}
}

func testKey(fill byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{fill}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func TestSignatures(t *testing.T) {
	f := newFleet(t)
	alice, bob := testKey(1), testKey(2)
	m := manifest("jq", "1.0.0", "aa")
	m.Level, m.InputSchema, m.Keywords = "read_only", []byte("{\n  \"type\": \"object\"\n}"), []string{"json"}
	m.Signatures = []Signature{m.Sign(alice)}
	f.register(m)
	got := f.resolves("jq", "jq@1.0.0")
	if got == nil || !got.SignedBy(public(alice)) || got.SignedBy(public(bob)) {
		t.Fatalf("as it was pushed: %+v", got)
	}
	if _, err := f.client.SignTool(f.ctx, "jq", "1.0.0", bob); err != nil {
		t.Fatal(err)
	}
	if got = f.resolves("jq", "jq@1.0.0"); len(got.Signatures) != 2 || !got.SignedBy(public(alice)) || !got.SignedBy(public(bob)) {
		t.Errorf("signed by a second: %+v", got.Signatures)
	}
	// Whatever is changed, the signature no longer fits.
	for what, change := range map[string]func(*Manifest){
		"name":        func(m *Manifest) { m.Name = "jr" },
		"version":     func(m *Manifest) { m.Version = "1.0.1" },
		"digest":      func(m *Manifest) { m.Digest = manifest("", "", "bb").Digest },
		"level":       func(m *Manifest) { m.Level = "none" },
		"schema":      func(m *Manifest) { m.InputSchema = []byte(`{"type":"object","title":"x"}`) },
		"description": func(m *Manifest) { m.Description = "x" },
		"keywords":    func(m *Manifest) { m.Keywords = []string{"json", "x"} },
		"size":        func(m *Manifest) { m.Size++ },
		"kind":        func(m *Manifest) { m.Kind = KindComponent },
		"imports":     func(m *Manifest) { m.Imports = []string{"x"} },
		"wasi":        func(m *Manifest) { m.WASI = "0.2.0" },
		"memory":      func(m *Manifest) { m.MinMemory = 1 },
	} {
		forged := *got
		change(&forged)
		if forged.SignedBy(public(alice)) {
			t.Errorf("another %s keeps the signature", what)
		}
	}
	// What stands beside a manifest is not signed.
	moved := *got
	moved.Yanked, moved.Channels, moved.PushedAt = &Yank{}, []string{"x"}, time.Time{}
	if !moved.SignedBy(public(alice)) {
		t.Error("a yank breaks the signature")
	}
	// A signature under another's key id, of the wrong length, or cut.
	fake := *got
	fake.Signatures = []Signature{{KeyID: KeyID(public(alice)), Value: ed25519.Sign(bob, got.signedText())}, {KeyID: KeyID(public(alice)), Value: []byte("x")}, {KeyID: KeyID(public(alice))}}
	if fake.SignedBy(public(alice)) {
		t.Error("a forged signature is taken")
	}
	if err := f.client.putSignature(f.ctx, got, Signature{KeyID: "../../x", Value: make([]byte, ed25519.SignatureSize)}); err == nil {
		t.Error("a key id that is none is stored")
	}
	// Pushed again with a signature of something else: what is there stays.
	again := m
	again.Description = "other"
	again.Signatures = []Signature{again.Sign(alice)}
	f.register(again)
	if got = f.resolves("jq", "jq@1.0.0"); !got.SignedBy(public(alice)) {
		t.Error("the signature was written over by one that does not fit")
	}
}

func TestLookup(t *testing.T) {
	f := newFleet(t)
	alice := testKey(1)
	digest := manifest("", "", "aa").Digest
	r, err := OpenRegistry(f.ctx, f.js, []ed25519.PublicKey{public(alice)})
	if err != nil {
		t.Fatal(err)
	}
	clock := time.Now()
	r.now = func() time.Time { return clock }
	look := func() string {
		t.Helper()
		list, err := r.Lookup(f.ctx, digest)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(list)
	}
	if got := look(); got != "[]" {
		t.Errorf("before anybody registered it: %s", got)
	}
	m := manifest("jq", "1.0.0", "aa")
	m.Level = "read_only"
	m.Signatures = []Signature{m.Sign(alice)}
	f.register(m, manifest("zz", "1.0.0", "aa"), manifest("zz", "1.1.0", "bb"))
	if got := look(); got != "[]" {
		t.Errorf("an answer is kept: %s", got)
	}
	clock = clock.Add(registryFresh + 1)
	if got := look(); got != "[{jq 1.0.0 read_only false true} {zz 1.0.0  false false}]" {
		t.Errorf("after it is no longer fresh: %s", got)
	}
	if err := f.client.Yank(f.ctx, "zz", "1.0.0", ""); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(registryFresh + 1)
	if got := look(); got != "[{jq 1.0.0 read_only false true} {zz 1.0.0  true false}]" {
		t.Errorf("yanked: %s", got)
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := r.Lookup(f.ctx, manifest("", "", "bb").Digest); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	canceled, cancel := context.WithCancel(f.ctx)
	cancel()
	if _, err := r.Lookup(canceled, manifest("", "", "cc").Digest); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that left: %v", err)
	}
	// An error is not kept.
	f.nc.Close()
	clock = clock.Add(registryFresh + 1)
	if _, err := r.Lookup(f.ctx, digest); err == nil {
		t.Error("a registry that cannot be read gives an answer")
	}
}

func TestRegistryMemoryIsBounded(t *testing.T) {
	r := &Registry{now: time.Now, known: map[artifacts.Digest]*answer{}}
	ended := make(chan struct{})
	close(ended)
	for i := range 3 * registryKeeps {
		r.makeRoom()
		r.known[artifacts.DigestBytes(fmt.Append(nil, i))] = &answer{done: ended, at: time.Now()}
	}
	if len(r.known) > registryKeeps {
		t.Errorf("%d answers are kept", len(r.known))
	}
}

// TestIndexIsCompleted opens a registry as an older version left it: with
// manifests alone. Their levels must count.
func TestIndexIsCompleted(t *testing.T) {
	f := newFleet(t)
	m := manifest("jq", "1.0.0", "aa")
	m.Level = "none"
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.client.tools.Put(f.ctx, toolKey(m.Name, m.Version), data); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r, err := OpenRegistry(f.ctx, f.js, nil)
		if err != nil {
			t.Fatal(err)
		}
		if list, err := r.Lookup(f.ctx, m.Digest); err != nil || len(list) != 1 || list[0].Level != "none" {
			t.Errorf("%+v, %v", list, err)
		}
	}
}

// TestDamagedRegistry puts things into the bucket that no client of ours
// writes.
func TestDamagedRegistry(t *testing.T) {
	f := newFleet(t)
	f.register(manifest("jq", "1.0.0", "aa"))
	put := func(key, value string) {
		t.Helper()
		if _, err := f.client.tools.Put(f.ctx, key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	swapped, _ := json.Marshal(manifest("jq", "1.0.0", "bb"))
	put("evil/1.0.0", string(swapped)) // a manifest under another's key
	if _, err := f.client.Resolve(f.ctx, "evil"); err == nil || !strings.Contains(err.Error(), "its manifest is of jq@1.0.0") {
		t.Errorf("%v", err)
	}
	// An index entry that leads to another module's manifest.
	wrong := manifest("", "", "cc").Digest
	put(digestKey(wrong, "jq", "1.0.0"), "")
	if list, err := f.client.ToolsByDigest(f.ctx, wrong); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	put(aliasPrefix+"jq.stable", `{"name":"jq","channel":"other","version":"1.0.0"}`)
	if _, err := f.client.Resolve(f.ctx, "jq@stable"); err == nil {
		t.Error("a channel's pointer of another channel is followed")
	}
	put(yankPrefix+"jq/1.0.0", "x")
	if _, err := f.client.Manifest(f.ctx, "jq", "1.0.0"); err == nil {
		t.Error("a damaged yank is passed over")
	}
}
