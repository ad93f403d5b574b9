package executor

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/tetratelabs/wazero"

	"boxfleet/executor/meter"
	"boxfleet/limits/metering"
)

// nativeStore keeps native code as files of wazero's compilation cache.
//
// wazero finds such a file by a hash of the module and of the processor's
// features, and decodes and validates the whole module first, which is most of
// what a load from disk takes. So the code of a module is put where wazero
// looks for that of the module's skeleton, which differs from the module in
// nothing but its function bodies; its native code does not look at those.
//
// If the file were missing, wazero would compile the skeleton, a program that
// traps, and keep that. A load therefore counts only if the file is the same
// before and after it: wazero writes a new one when it has compiled. And
// another processor or another wazero, which would look for another name, has
// another directory (see engineKey).
type nativeStore struct {
	rt  wazero.Runtime // with the cache in dir behind it
	dir string

	// Loads of one file take turns, and none runs while files are removed: so
	// what one load gets wrong another cannot take for right.
	sweeping sync.RWMutex
	turns    [32]sync.Mutex // by file

	opened func() // for tests: called when load has opened the file; nil otherwise
}

// scratchPrefix begins the names of directories in which something compiles.
const scratchPrefix = ".compile-"

// sweepScratch removes what a worker that was killed while it compiled left.
func sweepScratch(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, scratchPrefix+"*"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

func (s *nativeStore) turn(file string) *sync.Mutex {
	n := uint32(2166136261)
	for i := range len(file) {
		n = (n ^ uint32(file[i])) * 16777619
	}
	return &s.turns[n%uint32(len(s.turns))]
}

// compile makes native code of a program and keeps it.
func (s *nativeStore) compile(ctx context.Context, p *program) (_ *kept, err error) {
	skeleton, err := metering.Skeleton(p.wasm)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp(s.dir, scratchPrefix+"*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	k := &kept{keptHead: keptHead{initial: p.initial}, skeleton: skeleton, image: p.image}
	made, err := compileInto(ctx, filepath.Join(scratch, "module"), p.wasm)
	if err != nil {
		return nil, err
	}
	// Where wazero will look is learned from where it puts the skeleton's.
	if k.Native, err = compileInto(ctx, filepath.Join(scratch, "skeleton"), skeleton); err != nil {
		return nil, err
	}
	made = filepath.Join(scratch, "module", made)
	if k.NativeSize, k.NativeEnds, err = nativeMark(made); err != nil {
		return nil, err
	}
	return k, s.place(k, made)
}

// engineKey tells engines apart whose native code must not be mixed: by the
// release of wazero, the system, the architecture and the features of the
// processor that wazero makes use of. It is the name that wazero gives to the
// code of a module that never changes. scratch is a directory to work in.
func engineKey(ctx context.Context, scratch string) (_ string, err error) {
	dir, err := os.MkdirTemp(scratch, scratchPrefix+"*")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// (module (func))
	key, err := compileInto(ctx, dir, []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x0a\x04\x01\x02\x00\x0b"))
	if err != nil {
		return "", fmt.Errorf("try the wasm engine: %w", err)
	}
	return filepath.ToSlash(key), nil
}

// nativeMark gives the size of a file with native code and a checksum of its
// ends: the head has the places of functions, the tail wazero's checksum of
// the code, which it compares itself.
func nativeMark(path string) (size int64, ends uint32, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = f.Close() }()
	return markOf(f)
}

func markOf(f *os.File) (size int64, ends uint32, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	const part = 4 << 10
	size = info.Size()
	b := make([]byte, 2*part)
	n, err := f.ReadAt(b[:part], 0)
	if err != nil && err != io.EOF {
		return 0, 0, err
	}
	m, err := f.ReadAt(b[n:n+part], max(0, size-part))
	if err != nil && err != io.EOF {
		return 0, 0, err
	}
	return size, crc32.Checksum(b[:n+m], castagnoli), nil
}

// place moves a file with native code to where load finds it.
func (s *nativeStore) place(k *kept, file string) error {
	s.sweeping.RLock()
	defer s.sweeping.RUnlock()
	turn := s.turn(k.Native)
	turn.Lock()
	defer turn.Unlock()
	to := filepath.Join(s.dir, k.Native)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.Rename(file, to)
}

// compileInto compiles a module with a cache of its own in dir and gives the
// one file that is there afterwards, as a path below dir.
func compileInto(ctx context.Context, dir string, wasm []byte) (string, error) {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return "", err
	}
	defer func() { _ = cache.Close(ctx) }()
	rt := wazero.NewRuntimeWithConfig(ctx, meter.RuntimeConfig().WithCompilationCache(cache))
	defer func() { _ = rt.Close(ctx) }()
	compiled, err := rt.CompileModule(ctx, wasm)
	if err != nil {
		return "", err
	}
	if err := compiled.Close(ctx); err != nil {
		return "", err
	}
	var files []string
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			path, err = filepath.Rel(dir, path)
			files = append(files, path)
		}
		return err
	})
	if err == nil && len(files) != 1 {
		err = fmt.Errorf("the engine left %d files of native code, want one", len(files))
	}
	if err != nil {
		return "", err
	}
	return files[0], nil
}

// errNoNative says that the native code of a module is not there, or not what
// it was.
var errNoNative = errors.New("the native code is not in the cache")

// open opens the file with a module's native code.
func (s *nativeStore) open(k *kept) (*os.File, error) {
	path := filepath.Join(s.dir, k.Native)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoNative, err)
	}
	size, ends, err := markOf(f)
	if err == nil && (size != k.NativeSize || ends != k.NativeEnds) {
		err = fmt.Errorf("%w: %s is another file of %d bytes, want %d", errNoNative, path, size, k.NativeSize)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// load gives the compiled module of what is kept of it. Whatever keeps it from
// that, the native code is gone afterwards.
func (s *nativeStore) load(ctx context.Context, k *kept) (_ wazero.CompiledModule, err error) {
	s.sweeping.RLock()
	defer s.sweeping.RUnlock()
	turn := s.turn(k.Native)
	turn.Lock()
	defer turn.Unlock()
	path := filepath.Join(s.dir, k.Native)
	defer func() {
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	// While it is open no other file gets its number.
	f, err := s.open(k)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	before, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if s.opened != nil {
		s.opened()
	}
	compiled, err := s.rt.CompileModule(ctx, k.skeleton)
	if err != nil {
		return nil, err
	}
	after, err := os.Lstat(path)
	if err == nil && !os.SameFile(before, after) {
		err = fmt.Errorf("%w: %s was replaced while it was read", errNoNative, path)
	}
	if err != nil {
		return nil, errors.Join(err, compiled.Close(ctx))
	}
	return compiled, nil
}

// read gives the native code of a module as it is kept.
func (s *nativeStore) read(k *kept) ([]byte, error) {
	f, err := s.open(k)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(f)
}
