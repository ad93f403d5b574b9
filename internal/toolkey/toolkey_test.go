package toolkey

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGenerateAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "release")
	public, err := Generate(path)
	if err != nil {
		t.Fatal(err)
	}
	private, err := Private(path)
	if err != nil || !public.Equal(private.Public()) {
		t.Fatalf("private key: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	keys, err := Public(path + ".pub")
	if err != nil || len(keys) != 1 || !keys[0].Equal(public) {
		t.Fatalf("public key: %v, %v", keys, err)
	}
	if !ed25519.Verify(keys[0], []byte("x"), ed25519.Sign(private, []byte("x"))) {
		t.Error("the two do not belong together")
	}
	if _, err := Generate(path); err == nil || !strings.Contains(err.Error(), "never written over") {
		t.Errorf("a second key at the same place: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Generate(path); err == nil || !strings.Contains(err.Error(), ".pub is there") {
		t.Errorf("a public key is in the way: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("half a pair of keys is left")
	}
}

// The keys of RFC 8410, section 10.1 and 10.3: another program's output.
const (
	rfcPublic = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
`
	rfcPrivate = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
`
	rsaPublic = `-----BEGIN PUBLIC KEY-----
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf
9Cnzj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==
-----END PUBLIC KEY-----
`
)

func TestRead(t *testing.T) {
	write := func(text string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := Private(write(rfcPrivate, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := Public(write("# of the release team\n"+rfcPublic+"\n# and again\n"+rfcPublic, 0o644))
	if err != nil || len(keys) != 2 || !keys[1].Equal(key.Public()) {
		t.Errorf("%v, %v", keys, err)
	}
	for _, tc := range []struct{ what, text, want string }{
		{"empty", "", "holds no public key"},
		{"a private key", rfcPrivate, "public keys only"},
		{"RSA", rsaPublic, "Ed25519"},
		{"damaged", rfcPublic + strings.Replace(rfcPublic, "MCowB", "M*owB", 1), "no PEM block"},
		{"cut short", rfcPublic[:60], "no PEM block"},
		{"not a key", strings.Replace(rfcPublic, "MCowBQYDK2VwAyEA", "MCowBQYDK2VwAyEB", 1), "keys "},
	} {
		if _, err := Public(write(tc.text, 0o644)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.what, err, tc.want)
		}
	}
	if _, err := Private(write(rfcPrivate, 0o644)); err == nil || !strings.Contains(err.Error(), "chmod it to 0600") {
		t.Errorf("a key that all can read: %v", err)
	}
	if _, err := Private(write(rfcPublic, 0o600)); err == nil || !strings.Contains(err.Error(), "PRIVATE KEY") {
		t.Errorf("a public key as a private one: %v", err)
	}
	for _, path := range []string{t.TempDir(), "/nonexistent/key"} {
		if _, err := Public(path); err == nil {
			t.Errorf("%s is read", path)
		}
	}
}
