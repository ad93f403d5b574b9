// Package toolkey reads and writes the keys that sign tools: Ed25519 keys as
// PEM files in the forms that other programs know too, PKCS #8 for private keys
// and SubjectPublicKeyInfo for public ones (RFC 8410; `openssl genpkey
// -algorithm ed25519` makes them).
package toolkey

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

const (
	privateBlock = "PRIVATE KEY"
	publicBlock  = "PUBLIC KEY"
	maxFile      = 1 << 20
)

// Generate makes a key and writes it to path, readable by this user alone, and
// its public part to path.pub. Neither file may be there.
func Generate(path string) (ed25519.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	if err := writeNew(path, privateBlock, secret, 0o600); err != nil {
		return nil, err
	}
	open, err := x509.MarshalPKIXPublicKey(public)
	if err == nil {
		err = writeNew(path+".pub", publicBlock, open, 0o644)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return public, nil
}

func writeNew(path, kind string, der []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already; a key is never written over", path)
	}
	if err != nil {
		return err
	}
	err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	return errors.Join(err, f.Close())
}

// Private reads a private key. Others must not be able to read its file.
func Private(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key %s can be read by others (mode %v); chmod it to 0600", path, info.Mode().Perm())
	}
	blocks, err := read(path)
	if err != nil {
		return nil, err
	}
	for _, b := range blocks {
		if b.Type != privateBlock {
			continue
		}
		key, err := x509.ParsePKCS8PrivateKey(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", path, err)
		}
		private, ok := key.(ed25519.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("key %s is a %T; tools are signed with Ed25519 keys: submit tool keygen FILE", path, key)
		}
		return private, nil
	}
	return nil, fmt.Errorf("%s holds no PEM block %q", path, privateBlock)
}

// Public reads all public keys of a file; one with none is an error.
func Public(path string) ([]ed25519.PublicKey, error) {
	blocks, err := read(path)
	if err != nil {
		return nil, err
	}
	var keys []ed25519.PublicKey
	for _, b := range blocks {
		if b.Type != publicBlock {
			return nil, fmt.Errorf("%s holds a PEM block %q; it is to hold public keys only", path, b.Type)
		}
		key, err := x509.ParsePKIXPublicKey(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("keys %s: %w", path, err)
		}
		public, ok := key.(ed25519.PublicKey)
		if !ok {
			return nil, fmt.Errorf("keys %s: a %T; tools are signed with Ed25519 keys", path, key)
		}
		keys = append(keys, public)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no public key; write PEM blocks %q, as submit tool keygen does", path, publicBlock)
	}
	return keys, nil
}

func read(path string) ([]*pem.Block, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is no file of at most %d bytes", path, maxFile)
	}
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var blocks []*pem.Block
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		blocks = append(blocks, b)
	}
	// pem.Decode passes over a damaged block in silence: a key that somebody
	// believes to be trusted, or distrusted, would be missing.
	if bytes.Contains(rest, []byte("-----")) {
		return nil, fmt.Errorf("%s ends with something that is no PEM block", path)
	}
	return blocks, nil
}
