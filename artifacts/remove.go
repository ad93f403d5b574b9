package artifacts

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// removeTree deletes a directory that a guest has filled. Unlike os.RemoveAll it
// gets past directories without permissions, needs no descriptor per level and
// does not recurse: a nested directory is moved up beside the root and emptied
// in its turn. It works on names relative to open directories and opens them
// with O_NOFOLLOW, so that no link leads out, whatever else writes there.
func removeTree(dir string) error {
	err := os.RemoveAll(dir) // the usual case, and the fast one
	if err == nil {
		return nil
	}
	first := err
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return err
	}
	defer parent.Close()
	r := &remover{parent: int(parent.Fd()), base: filepath.Base(dir)}
	queue := []string{r.base}
	for len(queue) > 0 {
		name := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		moved, err := r.empty(name)
		if err != nil {
			return fmt.Errorf("remove %s: %w (after %w)", dir, err, first)
		}
		if err := ignoreMissing(unix.Unlinkat(r.parent, name, unix.AT_REMOVEDIR)); err != nil {
			return fmt.Errorf("remove %s: %w (after %w)", dir, err, first)
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
	if err := chmodDirAt(r.parent, name); err != nil {
		return nil, ignoreMissing(err)
	}
	fd, err := unix.Openat(r.parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return nil, ignoreMissing(unix.Unlinkat(r.parent, name, 0))
		}
		return nil, ignoreMissing(err)
	}
	d := os.NewFile(uintptr(fd), name)
	defer d.Close()
	for {
		names, err := d.Readdirnames(256)
		for _, n := range names {
			err := unix.Unlinkat(fd, n, 0)
			if err == nil || errors.Is(err, unix.ENOENT) {
				continue
			}
			// A directory: EISDIR on Linux, EPERM by POSIX.
			if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
				return nil, fmt.Errorf("unlink %q: %w", n, err)
			}
			// Moving a directory writes its "..", which needs its permission.
			if err := chmodDirAt(fd, n); err != nil {
				return nil, fmt.Errorf("chmod %q: %w", n, err)
			}
			up := r.base + ".rm" + rand.Text()
			if err := unix.Renameat(fd, n, r.parent, up); err != nil {
				return nil, fmt.Errorf("move %q up: %w", n, err)
			}
			moved = append(moved, up)
		}
		if errors.Is(err, io.EOF) {
			return moved, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// chmodDirAt gives the owner all permissions on a directory, not on what a link
// of that name points to. A descriptor opened with O_PATH needs no permission on
// the directory itself, and the name under /proc leads to it and nothing else.
func chmodDirAt(dir int, name string) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&0o700 == 0o700 {
		return nil
	}
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), 0o700)
}

func ignoreMissing(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
