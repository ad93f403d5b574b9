package artifacts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Bounds of a tree document.
const (
	treeVersion  = 1
	maxTreeBytes = 64 << 20
	maxTreeFiles = 1_000_000
)

// Tree is the document of a directory: its files by path, in ascending order,
// and the directories that hold none. It is stored as a blob, and that blob's
// digest names the directory. Two directories with the same names and content
// have one digest, because modes and times are not part of it: what is staged
// gets the worker's.
type Tree struct {
	Version int        `json:"version"` // 1
	Files   []TreeFile `json:"files"`
	Dirs    []string   `json:"dirs,omitempty"` // empty directories
}

// TreeFile is one regular file of a tree.
type TreeFile struct {
	Path   string `json:"path"` // relative, see CheckPath
	Size   int64  `json:"size"`
	Digest Digest `json:"digest"`
}

// Bytes is the size of all files together.
func (t *Tree) Bytes() int64 {
	var n int64
	for _, f := range t.Files {
		n += f.Size
	}
	return n
}

// encode returns the canonical form: equal trees, equal bytes.
func (t *Tree) encode() ([]byte, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode tree: %w", err)
	}
	if len(b) > maxTreeBytes {
		return nil, fmt.Errorf("tree of %d files: %w: its document has %d bytes, at most %d are allowed", len(t.Files), ErrTooLarge, len(b), maxTreeBytes)
	}
	return b, nil
}

// DecodeTree reads and checks a tree document, which anyone may have written:
// paths are safe, ascending and free of clashes, digests well formed, and the
// sizes add up to no more than limits allow.
func DecodeTree(doc []byte, limits Limits) (*Tree, error) {
	if len(doc) > maxTreeBytes {
		return nil, fmt.Errorf("tree document: %w: %d bytes, at most %d are allowed", ErrTooLarge, len(doc), maxTreeBytes)
	}
	var t Tree
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil {
		return nil, fmt.Errorf("tree document: %w: %w", ErrInvalid, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("tree document: %w: something follows the document", ErrInvalid)
	}
	if t.Version != treeVersion {
		return nil, fmt.Errorf("tree document: %w: version %d, this program knows %d", ErrInvalid, t.Version, treeVersion)
	}
	limits = limits.WithDefaults()
	limits.Files = min(limits.Files, maxTreeFiles)
	count := tally{limits: limits}
	paths := newPathSet()
	last := ""
	for i, f := range t.Files {
		if err := CheckPath(f.Path); err != nil {
			return nil, fmt.Errorf("tree document: file %d: %w", i, err)
		}
		if i > 0 && f.Path <= last {
			return nil, fmt.Errorf("tree document: %w: path %q after %q is not in ascending order", ErrInvalid, f.Path, last)
		}
		last = f.Path
		if _, err := ParseDigest(string(f.Digest)); err != nil {
			return nil, fmt.Errorf("tree document: file %q: %w", f.Path, err)
		}
		if err := errors.Join(count.add(f.Path, f.Size), paths.addFile(f.Path)); err != nil {
			return nil, fmt.Errorf("tree document: %w", err)
		}
	}
	for i, d := range t.Dirs {
		if err := CheckPath(d); err != nil {
			return nil, fmt.Errorf("tree document: directory %d: %w", i, err)
		}
		if i > 0 && d <= t.Dirs[i-1] {
			return nil, fmt.Errorf("tree document: %w: directory %q after %q is not in ascending order", ErrInvalid, d, t.Dirs[i-1])
		}
		if paths.dirs[d] {
			return nil, fmt.Errorf("tree document: %w: directory %q is listed as empty but is not", ErrInvalid, d)
		}
		if err := errors.Join(count.add(d, 0), paths.addDir(d)); err != nil {
			return nil, fmt.Errorf("tree document: %w", err)
		}
	}
	return &t, nil
}
