package executor

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"boxfleet/artifacts"
)

// CodePrefix is where in the bucket workers share compiled code. No tenant
// should be able to list or write it; one that can is kept out by the key.
const CodePrefix = "code/"

// minCodeKey is how many bytes a key must have.
const minCodeKey = 32

// maxShared bounds what is shared of one module, in bytes.
const maxShared = 512 << 20

// shareTimeout bounds one transfer: compiling must not wait for a store that
// does not answer.
const shareTimeout = 30 * time.Second

// codeShare lets workers use each other's compiled code, by way of the store.
// Native code is trusted code, so what the store holds is believed only if it
// carries a code (HMAC-SHA256) of a key that the operator gave to workers and
// to nobody else. It covers what the code was made of and for: an entry of
// another module, release, configuration or processor is refused under any
// name.
//
// An object is 32 bytes of the authentication code, eight bytes with the
// length of the next part (lowest first), what [kept] writes, and the native
// code as the engine keeps it.
type codeShare struct {
	store *artifacts.Store
	key   []byte
	code  string // codeKey
}

// errForged says that an entry was not written by a worker with the key for
// this module and configuration, or not completely.
var errForged = errors.New("its authentication code is wrong: another key, another module or configuration, or not written by a worker")

// object is the name of a module's entry. Workers with another key or another
// configuration look elsewhere, so that none overwrites what it cannot use.
func (s *codeShare) object(d artifacts.Digest) string {
	h := hmac.New(sha256.New, s.key)
	io.WriteString(h, "boxfleet shared code is in "+s.code)
	return CodePrefix + hex.EncodeToString(h.Sum(nil)[:16]) + "/" + d.Hex()
}

// mac begins an authentication code. Lengths go before what has no fixed
// length, so that no two entries have one input.
func (s *codeShare) mac(d artifacts.Digest) hash.Hash {
	h := hmac.New(sha256.New, s.key)
	for _, part := range []string{"boxfleet shared code", s.code, string(d)} {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		io.WriteString(h, part)
	}
	return h
}

// get brings a module's entry into the native store. An error is
// artifacts.ErrNotFound if there is none. there tells whether there is one,
// which then is damaged or forged.
func (s *codeShare) get(ctx context.Context, d artifacts.Digest, native *nativeStore) (_ *kept, there bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	dir, err := os.MkdirTemp(native.dir, scratchPrefix+"*")
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	f, err := os.Create(filepath.Join(dir, "entry"))
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = f.Close() }()
	size, err := s.store.GetTo(ctx, "", s.object(d), maxShared, f)
	if err != nil {
		return nil, errors.Is(err, artifacts.ErrTooLarge), err
	}
	k, err := s.accept(d, f, size, filepath.Join(dir, "native"), native)
	return k, true, err
}

// accept checks an entry and puts its native code, by way of the file to, into
// the store. Nothing is looked at before all of it is known to be a worker's.
func (s *codeShare) accept(d artifacts.Digest, f io.ReaderAt, size int64, to string, native *nativeStore) (*kept, error) {
	var sum [sha256.Size]byte
	if _, err := f.ReadAt(sum[:], 0); err != nil {
		return nil, fmt.Errorf("%s: %d bytes: %w", s.object(d), size, errForged)
	}
	h := s.mac(d)
	if _, err := io.Copy(h, io.NewSectionReader(f, sha256.Size, size-sha256.Size)); err != nil {
		return nil, err
	}
	if !hmac.Equal(h.Sum(nil), sum[:]) {
		return nil, fmt.Errorf("%s: %w", s.object(d), errForged)
	}
	at := int64(sha256.Size)
	var n [8]byte
	if _, err := f.ReadAt(n[:], at); err != nil {
		return nil, err
	}
	at += int64(len(n))
	length := binary.LittleEndian.Uint64(n[:])
	if length > uint64(size-at) {
		return nil, fmt.Errorf("%d bytes of a module in an entry of %d", length, size)
	}
	head := make([]byte, length)
	if _, err := f.ReadAt(head, at); err != nil {
		return nil, err
	}
	at += int64(length)
	k, err := decodeKept(head)
	if err != nil {
		return nil, err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(out, io.NewSectionReader(f, at, size-at))
	if err = errors.Join(err, out.Close()); err != nil {
		return nil, err
	}
	return k, native.place(k, to)
}

// put shares a module that this worker has compiled. Entries that are there
// already stay, unless instead is set: then they were not to be used.
func (s *codeShare) put(ctx context.Context, d artifacts.Digest, k *kept, native *nativeStore, instead bool) error {
	ctx, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	body, err := s.entry(d, k, native)
	if err != nil {
		return err
	}
	if instead {
		return s.store.Put(ctx, "", s.object(d), body)
	}
	if err := s.store.PutIfAbsent(ctx, "", s.object(d), body); !errors.Is(err, artifacts.ErrExists) {
		return err
	}
	return nil
}

// entry makes a module's entry.
func (s *codeShare) entry(d artifacts.Digest, k *kept, native *nativeStore) ([]byte, error) {
	head, err := k.encode()
	if err != nil {
		return nil, err
	}
	if total := int64(len(head)) + k.NativeSize; total > maxShared {
		return nil, fmt.Errorf("%d bytes, at most %d are shared", total, maxShared)
	}
	code, err := native.read(k)
	if err != nil {
		return nil, err
	}
	body := make([]byte, sha256.Size, sha256.Size+8+len(head)+len(code))
	body = binary.LittleEndian.AppendUint64(body, uint64(len(head)))
	body = append(append(body, head...), code...)
	h := s.mac(d)
	h.Write(body[sha256.Size:])
	h.Sum(body[:0])
	return body, nil
}

// ReadCodeKey reads the key of [Config.CodeKey] from a file. Who has it can run
// native code on every worker, so nobody but the worker may read it.
func ReadCodeKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %v); chmod it to 0600", path, info.Mode().Perm())
	}
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if key = []byte(strings.TrimSpace(string(key))); len(key) < minCodeKey {
		return nil, fmt.Errorf("%s has %d bytes, want %d random ones or more, for example of: openssl rand -hex 32", path, len(key), minCodeKey)
	}
	return key, nil
}
