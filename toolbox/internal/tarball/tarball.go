// Package tarball takes single files out of npm packages whose content is pinned.
// Where the package came from does not matter: it counts only when every byte of
// it has the digest that the source names.
package tarball

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Package is one version of a package of npm.
type Package struct {
	Name    string // such as @scope/name
	Version string

	// Integrity is the tarball's digest as npm writes it: sha512- and base64.
	Integrity string
	// Size is the tarball's in bytes; a larger one is not read to its end.
	Size int64
}

func (p Package) String() string { return p.Name + "@" + p.Version }

// File returns the content of a file of the package, such as
// package/dist/x.wasm, which may have up to max bytes. The tarball is kept in
// dir; if it is not there, or is another one, npm downloads it.
func (p Package) File(ctx context.Context, dir, name string, max int64) ([]byte, error) {
	at := p.path(dir)
	all, err := p.read(at)
	if err != nil {
		if all, err = p.download(ctx, dir, at); err != nil {
			return nil, err
		}
	}
	content, err := unpack(all, name, max)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", p, err)
	}
	return content, nil
}

// path is where the tarball is kept, under the name npm gives it.
func (p Package) path(dir string) string {
	return filepath.Join(dir, strings.NewReplacer("@", "", "/", "-").Replace(p.Name)+"-"+p.Version+".tgz")
}

// read returns a tarball that has the package's digest. What is returned is what
// was digested: nobody can change the file in between.
func (p Package) read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, err := io.ReadAll(io.LimitReader(f, p.Size+1))
	if err != nil {
		return nil, fmt.Errorf("read the tarball of %s: %w", p, err)
	}
	sum := sha512.Sum512(all)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != p.Integrity || int64(len(all)) != p.Size {
		return nil, fmt.Errorf("%s is not the tarball of %s: its first %d bytes have %s, want %s of %d bytes", path, p, len(all), got, p.Integrity, p.Size)
	}
	return all, nil
}

// download has npm fetch the tarball, with the registry, proxy and credentials
// its user has given it, and keeps it when it is the right one.
func (p Package) download(ctx context.Context, dir, at string) ([]byte, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of downloads: %w", err)
	}
	// In a folder of its own: two builds at once do not see each other's half.
	tmp, err := os.MkdirTemp(dir, ".new-*")
	if err != nil {
		return nil, fmt.Errorf("make the folder of downloads: %w", err)
	}
	defer os.RemoveAll(tmp)
	cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", "--ignore-scripts", p.String())
	cmd.Dir = tmp
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("npm pack %s: %w; without npm, put the tarball at %s\n%s", p, err, at, bytes.TrimSpace(said.Bytes()))
	}
	fetched := p.path(tmp)
	all, err := p.read(fetched)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(fetched, at); err != nil {
		return nil, fmt.Errorf("keep the tarball: %w", err)
	}
	return all, nil
}

func unpack(all []byte, name string, max int64) ([]byte, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(all))
	if err != nil {
		return nil, err
	}
	for files := tar.NewReader(unzipped); ; {
		head, err := files.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("it has no file %s", name)
		case err != nil:
			return nil, err
		case head.Name != name || head.Typeflag != tar.TypeReg:
			continue
		case head.Size > max:
			return nil, fmt.Errorf("%s has %d bytes: want at most %d", name, head.Size, max)
		}
		return io.ReadAll(files)
	}
}
