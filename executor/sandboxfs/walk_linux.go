package sandboxfs

import (
	"golang.org/x/sys/unix"
)

const (
	// maxLinks is how many symbolic links one lookup follows, as in Linux.
	maxLinks = 40
	// maxSteps is how many components one lookup opens: more than any path has,
	// and fewer than links to long paths would make it take.
	maxSteps = 2 * maxPath
)

// walk resolves a path one component at a time. It holds a descriptor for every
// directory it went through, so ".." returns to the directory it came from
// instead of asking the host for its parent, and nothing that another process
// renames can lead it elsewhere.
type walk struct {
	fs    *FS
	stack []place // stack[0] is the directory the path is relative to
	links int
	steps int
}

func newWalk(f *FS, base *File) *walk {
	w := &walk{fs: f, stack: make([]place, 1, 8)}
	w.stack[0] = place{m: base.m, node: base.node, fd: base.fd}
	return w
}

func (w *walk) top() *place { return &w.stack[len(w.stack)-1] }

// finish hands out the directory reached and lets go of the others.
func (w *walk) finish(err error) (place, error) {
	p := *w.top()
	last := len(w.stack) - 1
	for _, q := range w.stack[:last] {
		q.close()
	}
	if err != nil {
		p.close()
		return place{}, err
	}
	return p, nil
}

// to walks to the directory that holds the path's last component and returns
// that component, or "" if the path ends on the directory itself. With follow, a
// link in the last component is followed too; a component that a slash follows
// always is.
func (w *walk) to(path string, follow bool) (string, error) {
	left := path
	for {
		name, rest, last, slash := next(left)
		left = rest
		switch {
		case name == "" || name == ".":
			if last {
				return "", nil
			}
			continue
		case name == "..":
			if len(w.stack) == 1 {
				return "", unix.EPERM
			}
			w.top().close()
			w.stack = w.stack[:len(w.stack)-1]
			if last {
				return "", nil
			}
			continue
		}
		if n := w.top().node.child(name); n != nil && n.mount != nil {
			w.stack = append(w.stack, place{m: n.mount, node: n.mount.tree, fd: n.mount.fd})
			if last {
				return "", nil
			}
			continue
		}
		if last && !follow && !slash {
			return name, nil
		}
		if w.steps++; w.steps > maxSteps {
			return "", unix.ELOOP
		}
		target, err := w.step(name, last && !slash)
		if err != nil {
			return "", err
		}
		switch {
		case target != "":
			if w.links++; w.links > maxLinks {
				return "", unix.ELOOP
			}
			if target[0] == '/' {
				return "", unix.EPERM
			}
			if left = join(target, left, slash); len(left) > 4*maxPath {
				return "", unix.ENAMETOOLONG
			}
		case last && !slash:
			return name, nil
		case last:
			return "", nil
		}
	}
}

// join puts what a link points to before what is left of the path.
func join(target, left string, slash bool) string {
	if slash {
		return target + "/" + left
	}
	return target
}

// step opens one component. A link's target is returned instead of being
// followed. A directory is entered, unless only looking for links is asked for.
func (w *walk) step(name string, look bool) (target string, err error) {
	at := w.top()
	if look {
		return readLink(at.fd, name)
	}
	fd, err := unix.Openat(at.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			if uint64(st.Dev) == at.m.dev {
				w.stack = append(w.stack, place{m: at.m, node: at.node.child(name), fd: fd, owned: true})
				return "", nil
			}
			err = unix.EPERM // a host mount below ours
		case unix.S_IFLNK:
			if target, err = readLink(fd, ""); err == nil && target == "" {
				err = unix.ENOENT
			}
		default:
			err = unix.ENOTDIR
		}
	}
	_ = unix.Close(fd)
	return target, err
}

// readLink returns a link's target, or "" for what is no link or is missing.
// With an empty name fd is the link itself.
func readLink(fd int, name string) (string, error) {
	var buf [maxPath + 1]byte
	n, err := unix.Readlinkat(fd, name, buf[:])
	switch {
	case err == unix.EINVAL || err == unix.ENOENT:
		return "", nil
	case err != nil:
		return "", err
	}
	return string(buf[:n]), nil
}
