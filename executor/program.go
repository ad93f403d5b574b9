package executor

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"

	"boxfleet/limits/component"
	"boxfleet/limits/metering"
)

// program is a metered module, ready to be compiled.
type program struct {
	initial
	wasm  []byte
	image []metering.Run // what its memory holds when an instance begins
}

// initial is what must be known of a module before it is instantiated.
type initial struct {
	Memories []metering.Memory
	Tables   []metering.Table
	// Start is the export that runs the program, Initialize that _initialize is
	// called before it.
	Start      string
	Initialize bool
}

// rewritten meters a module, or the main module of a component, or says why it
// can never run.
func rewritten(raw []byte, cfg metering.Config) (*program, error) {
	main, err := component.Main(raw)
	if err != nil {
		return nil, &badModuleError{err}
	}
	m, err := metering.Rewrite(main.Wasm, cfg)
	if err != nil {
		return nil, &badModuleError{err}
	}
	if err := checkModule(m.Info, main.Start); err != nil {
		return nil, &badModuleError{err}
	}
	return &program{
		initial: initial{Memories: m.Info.Memories, Tables: m.Info.Tables, Start: main.Start, Initialize: main.Initialize},
		wasm:    m.Wasm, image: m.Image,
	}, nil
}

// kept is what is left of a program once its native code is on disk: the
// module without code (metering.Skeleton) and the image. As a file it is a line
// with a checksum of all that follows (CRC-32C), a line of JSON, the skeleton,
// and for each run of the image its address and length, four bytes each with
// the lowest first, and its bytes. The checksum guards against broken disks;
// who can write the directory needs no such trick.
type kept struct {
	keptHead
	skeleton []byte
	image    []metering.Run
}

// keptHead is the line of JSON.
type keptHead struct {
	initial
	// Native is the file with the native code, below the directory of the
	// engine's cache; NativeSize and NativeEnds tell it from another.
	Native     string
	NativeSize int64
	NativeEnds uint32
	// Skeleton is the length of the skeleton in bytes, Runs the number of runs.
	Skeleton int
	Runs     int
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (k *kept) encode() ([]byte, error) {
	k.Skeleton, k.Runs = len(k.skeleton), len(k.image)
	head, err := json.Marshal(k.keptHead)
	if err != nil {
		return nil, err
	}
	rest := slices.Concat(head, []byte{'\n'}, k.skeleton)
	for _, r := range k.image {
		rest = binary.LittleEndian.AppendUint32(rest, r.Offset)
		rest = binary.LittleEndian.AppendUint32(rest, uint32(len(r.Data)))
		rest = append(rest, r.Data...)
	}
	return checked(rest), nil
}

// checked puts the line with the checksum before what follows it.
func checked(rest []byte) []byte {
	return append(fmt.Appendf(nil, "%08x\n", crc32.Checksum(rest, castagnoli)), rest...)
}

func decodeKept(data []byte) (*kept, error) {
	sum, rest, _ := bytes.Cut(data, []byte{'\n'})
	if want := fmt.Sprintf("%08x", crc32.Checksum(rest, castagnoli)); string(sum) != want {
		return nil, fmt.Errorf("its checksum does not match, want %s", want)
	}
	head, body, _ := bytes.Cut(rest, []byte{'\n'})
	k := &kept{}
	if err := json.Unmarshal(head, &k.keptHead); err != nil {
		return nil, err
	}
	if k.Start == "" {
		return nil, errors.New("it does not say how the program starts")
	}
	if !filepath.IsLocal(k.Native) {
		return nil, fmt.Errorf("its native code is said to be in %q, outside of the cache", k.Native)
	}
	if k.Skeleton < 0 || k.Skeleton > len(body) {
		return nil, fmt.Errorf("a skeleton of %d bytes in %d", k.Skeleton, len(body))
	}
	k.skeleton, body = body[:k.Skeleton], body[k.Skeleton:]
	end := uint64(0)
	for range k.Runs {
		if len(body) < 8 {
			return nil, fmt.Errorf("ends within the image, which has %d runs", k.Runs)
		}
		r := metering.Run{Offset: binary.LittleEndian.Uint32(body)}
		n := uint64(binary.LittleEndian.Uint32(body[4:]))
		if body = body[8:]; n > uint64(len(body)) {
			return nil, fmt.Errorf("a run of %d bytes in %d", n, len(body))
		}
		r.Data, body = body[:n], body[n:]
		if uint64(r.Offset) < end {
			return nil, fmt.Errorf("a run at %d, before the end of the one before it", r.Offset)
		}
		end = r.End()
		k.image = append(k.image, r)
	}
	if len(body) > 0 {
		return nil, fmt.Errorf("%d bytes too many", len(body))
	}
	if end > 0 && (len(k.Memories) == 0 || end > uint64(k.Memories[0].Min)*metering.PageSize) {
		return nil, fmt.Errorf("the image ends at %d, past the memory's first size", end)
	}
	return k, nil
}

func readKept(path string) (*kept, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	k, err := decodeKept(data)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return k, nil
}
