package sandboxfs

import (
	"strings"
	"syscall"
	"unicode/utf8"
)

// maxPath is the longest path a guest may pass, in bytes: Linux's PATH_MAX
// without its terminating NUL.
const maxPath = 4095

// checkPath refuses what no lookup should see: an empty, oversize, absolute or
// badly encoded path, or a component over the name quota.
func (f *FS) checkPath(path string) error {
	switch {
	case path == "":
		return syscall.ENOENT
	case len(path) > maxPath:
		return syscall.ENAMETOOLONG
	case path[0] == '/':
		return syscall.EPERM
	case !utf8.ValidString(path):
		return syscall.EILSEQ
	}
	start := 0
	for i := 0; i <= len(path); i++ {
		if i == len(path) || path[i] == '/' {
			if i-start > f.quota.NameLen {
				f.hit(limitNameLen)
				return syscall.ENAMETOOLONG
			}
			start = i + 1
		} else if path[i] == 0 {
			return syscall.EINVAL
		}
	}
	return nil
}

// splitLast cuts a path into the part before its last component, that
// component, and whether slashes follow it. dir is "" when the component stands
// alone.
func splitLast(path string) (dir, name string, slash bool) {
	end := len(path)
	for end > 0 && path[end-1] == '/' {
		end--
	}
	slash = end < len(path)
	at := strings.LastIndexByte(path[:end], '/')
	return path[:at+1], path[at+1 : end], slash
}

// next cuts the first component off a path, skipping slashes. last says that
// nothing but slashes follows, slash that at least one does.
func next(path string) (name, rest string, last, slash bool) {
	i := 0
	for i < len(path) && path[i] == '/' {
		i++
	}
	path = path[i:]
	j := strings.IndexByte(path, '/')
	if j < 0 {
		return path, "", true, false
	}
	name, rest = path[:j], path[j:]
	for i = 0; i < len(rest) && rest[i] == '/'; i++ {
	}
	return name, rest[i:], i == len(rest), true
}

// hasDotDot says whether a component of the path is "..".
func hasDotDot(path string) bool {
	for i := strings.Index(path, ".."); i >= 0; {
		if (i == 0 || path[i-1] == '/') && (i+2 == len(path) || path[i+2] == '/') {
			return true
		}
		j := strings.Index(path[i+1:], "..")
		if j < 0 {
			return false
		}
		i += 1 + j
	}
	return false
}
