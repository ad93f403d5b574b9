package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/versity/versitygw/backend/meta"
)

// dataDir is an opened data directory, held by this process alone:
//
//	objects/    one directory per bucket, one file per object
//	metadata/   object metadata, only where the file system has no user xattrs
//	layout.json where the metadata is, fixed when the directory was made
//	lock        held while a server runs
type dataDir struct {
	objects string
	sidecar string // empty when metadata is in extended attributes
	meta    meta.MetadataStorer
	lock    *os.File
}

// layout is the content of layout.json.
type layout struct {
	Metadata string `json:"metadata"` // "xattr" or "sidecar"
}

func openData(dir string) (*dataDir, error) {
	d := &dataDir{objects: filepath.Join(dir, "objects")}
	if err := os.MkdirAll(d.objects, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of data directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("data directory %s is in use by another server: %w; stop it or give another --data", dir, err)
	}
	d.lock = lock
	if err := d.chooseMetadata(dir); err != nil {
		lock.Close()
		return nil, err
	}
	return d, nil
}

// Close releases the directory for another server.
func (d *dataDir) Close() error { return d.lock.Close() }

// chooseMetadata uses extended attributes where they work (half the system
// calls of side files) and keeps to the first choice ever after, so that a
// directory copied to another file system fails clearly instead of serving
// objects without their metadata.
func (d *dataDir) chooseMetadata(dir string) error {
	file := filepath.Join(dir, "layout.json")
	var l layout
	b, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		l.Metadata = "xattr"
		if (meta.XattrMeta{}).Test(d.objects) != nil {
			l.Metadata = "sidecar"
		}
		b, _ := json.Marshal(l)
		if err := writeAtomic(file, append(b, '\n')); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("read layout: %w", err)
	default:
		if err := json.Unmarshal(b, &l); err != nil {
			return fmt.Errorf("decode %s: %w", file, err)
		}
	}
	switch l.Metadata {
	case "xattr":
		if err := (meta.XattrMeta{}).Test(d.objects); err != nil {
			return fmt.Errorf("%s says metadata is in extended attributes, but the file system refuses them: %w; move the directory back or start with an empty one", file, err)
		}
		d.meta = meta.XattrMeta{}
		return nil
	case "sidecar":
		d.sidecar = filepath.Join(dir, "metadata")
		if err := os.MkdirAll(d.sidecar, 0o700); err != nil {
			return fmt.Errorf("make metadata directory: %w", err)
		}
		d.meta, err = meta.NewSideCar(d.sidecar)
		return err
	default:
		return fmt.Errorf("%s: unknown metadata place %q", file, l.Metadata)
	}
}

// writeAtomic replaces file with content, so that a reader sees all or nothing.
func writeAtomic(file string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer os.Remove(tmp.Name())
	_, werr := tmp.Write(content)
	if err := errors.Join(werr, tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return os.Rename(tmp.Name(), file)
}
