package artifacts

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// removeTree deletes a directory that a guest has filled. Unlike os.RemoveAll it
// gets past directories without permissions, needs no descriptor per level and
// does not recurse: a nested directory is moved up beside the root and emptied
// in its turn. It works on names relative to open directories and opens them
// with O_NOFOLLOW, so that no link leads out, whatever else writes there.
func removeTree(dir string) error {
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return ignoreMissing(err)
	}
	defer parent.Close()
	r := &remover{parent: int(parent.Fd()), base: filepath.Base(dir)}
	queue := []string{r.base}
	for len(queue) > 0 {
		name := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		moved, err := r.empty(name)
		if err != nil {
			return fmt.Errorf("remove %s: %w", dir, err)
		}
		if err := ignoreMissing(unix.Unlinkat(r.parent, name, unix.AT_REMOVEDIR)); err != nil {
			return fmt.Errorf("remove %s: %w", dir, err)
		}
		queue = append(queue, moved...)
	}
	return nil
}

type remover struct {
	parent int // descriptor of the directory that holds the tree
	base   string
}

// empty unlinks what is in the directory called name beside the tree, moves its
// subdirectories up beside it and returns their new names.
func (r *remover) empty(name string) (moved []string, err error) {
	fd := -1
	err = withPermission(r.parent, name, func() (err error) {
		fd, err = unix.Openat(r.parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, ignoreMissing(unix.Unlinkat(r.parent, name, 0))
	}
	if err != nil {
		return nil, ignoreMissing(err)
	}
	d := os.NewFile(uintptr(fd), name)
	defer d.Close()
	for {
		names, err := d.Readdirnames(256)
		for _, n := range names {
			err := withPermission(r.parent, name, func() error { return unix.Unlinkat(fd, n, 0) })
			// A directory: EISDIR on Linux, EPERM by POSIX.
			if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
				up := r.base + ".rm" + rand.Text()
				// Moving a directory writes its "..", which needs its permission.
				err = withPermission(fd, n, func() error { return unix.Renameat(fd, n, r.parent, up) })
				if err == nil {
					moved = append(moved, up)
				}
			}
			if ignoreMissing(err) != nil {
				return nil, fmt.Errorf("entry %q: %w", n, err)
			}
		}
		if errors.Is(err, io.EOF) {
			return moved, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// withPermission calls op, and once more with all the owner's permissions on the
// directory called name in dir if it lacked some.
func withPermission(dir int, name string, op func() error) error {
	err := op()
	if !errors.Is(err, unix.EACCES) {
		return err
	}
	if err := chmodDirAt(dir, name); err != nil {
		return fmt.Errorf("permissions of %q: %w", name, err)
	}
	return op()
}

func ignoreMissing(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
