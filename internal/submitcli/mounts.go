package submitcli

import (
	"fmt"
	"path"
	"strings"

	"boxfleet/limits"
)

// splitMode takes `:ro`, `:rw` or `:scratch` off the end of a mount. A last
// part that is none of them belongs to the path: C:\data is one.
func splitMode(s string) (rest string, mode limits.Mode) {
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		switch m := limits.Mode(s[i+1:]); m {
		case limits.ReadOnly, limits.ReadWrite, limits.Scratch:
			return s[:i], m
		}
	}
	return s, ""
}

// parseWorkDir reads SRC[:mode].
func parseWorkDir(s string) (*limits.Mount, error) {
	src, mode := splitMode(s)
	if src == "" && mode != limits.ReadWrite && mode != limits.Scratch {
		return nil, fmt.Errorf("%q: write SRC[:ro|rw|scratch]; without SRC an empty directory, which needs :rw or :scratch", s)
	}
	return &limits.Mount{Source: src, Mode: mode}, nil
}

// parseMapDir reads SRC::GUEST[:mode]. The guest path is absolute, so the last
// `::/` divides the two, and SRC may hold colons.
func parseMapDir(s string) (limits.Mount, error) {
	rest, mode := splitMode(s)
	i := strings.LastIndex(rest, "::/")
	if i < 0 {
		return limits.Mount{}, fmt.Errorf("%q: write SRC::GUEST[:ro|rw|scratch] with an absolute guest path, such as ./data::/data:ro", s)
	}
	return limits.Mount{Source: rest[:i], Guest: rest[i+2:], Mode: mode}, nil
}

// output is one --output: what the guest leaves below a path goes to a local
// directory or to a prefix of the object store.
type output struct {
	guest  string
	dir    string // local; "" when remote
	remote string // s3://bucket/prefix/
}

// parseOutput reads GUEST=DIR or GUEST=s3://bucket/prefix/.
func parseOutput(s string) (output, error) {
	guest, to, ok := strings.Cut(s, "=")
	if !ok || to == "" || !strings.HasPrefix(guest, "/") {
		return output{}, fmt.Errorf("%q: write GUEST=DIR or GUEST=s3://bucket/prefix/ with an absolute guest path, such as /out=./results", s)
	}
	o := output{guest: path.Clean(guest)}
	if strings.HasPrefix(to, "s3://") {
		if o.remote = to; !strings.HasSuffix(to, "/") {
			o.remote += "/"
		}
		return o, nil
	}
	o.dir = to
	return o, nil
}

// addOutput makes a guest path one whose files are collected: by its mount,
// which must be rw, or by a new one.
func addOutput(opt *limits.RunOption, o output) error {
	m := mountAt(opt, o.guest)
	if m == nil {
		if above := mountAbove(opt, o.guest); above != nil && above.Mode == limits.ReadWrite {
			if o.remote == "" {
				return nil // collected with the mount above
			}
			return fmt.Errorf("%s lies in the mount %s; an s3:// output takes a whole mount: name %s, or mount %s by itself", o.guest, guestOf(above), guestOf(above), o.guest)
		}
		add := limits.Mount{Guest: o.guest, Mode: limits.ReadWrite, Output: o.remote}
		if o.guest == "/" {
			add.Guest = ""
			opt.WorkDir = &add
		} else {
			opt.MapDirs = append(opt.MapDirs, add)
		}
		return nil
	}
	if m.Mode != limits.ReadWrite {
		mode := m.Mode
		if mode == "" {
			mode = limits.ReadOnly
		}
		return fmt.Errorf("%s is mounted %s, and only rw mounts have outputs; mount it with :rw", o.guest, mode)
	}
	if o.remote != "" {
		if m.Output != "" && m.Output != o.remote {
			return fmt.Errorf("%s has two s3:// outputs, %s and %s; give one", o.guest, m.Output, o.remote)
		}
		m.Output = o.remote
	}
	return nil
}

func mountAt(opt *limits.RunOption, guest string) *limits.Mount {
	if guest == "/" {
		if opt.WorkDir != nil {
			return opt.WorkDir
		}
	}
	for i := range opt.MapDirs {
		if opt.MapDirs[i].Guest == guest {
			return &opt.MapDirs[i]
		}
	}
	return nil
}

// mountAbove gives the innermost mount that a guest path lies in.
func mountAbove(opt *limits.RunOption, guest string) *limits.Mount {
	for p := path.Dir(guest); ; p = path.Dir(p) {
		if m := mountAt(opt, p); m != nil {
			return m
		}
		if p == "/" {
			return nil
		}
	}
}

func guestOf(m *limits.Mount) string {
	if m.Guest == "" {
		return "/"
	}
	return m.Guest
}
