package sandboxfs

import (
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Mode says what a guest may do with a mount.
type Mode uint8

const (
	ReadOnly Mode = iota // every change is EROFS
	ReadWrite
)

func (m Mode) String() string {
	switch m {
	case ReadOnly:
		return "ro"
	case ReadWrite:
		return "rw"
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

// Mount puts a host directory at a path of the guest.
type Mount struct {
	Guest string // absolute, clean guest path such as "/" or "/data"
	Host  string // host directory; opened once, by New
	Mode  Mode
	// NoDevices promises that the host directory holds no device nodes and that
	// nobody makes any in it, as is true of what a worker staged itself: guests
	// cannot. Opening a file then needs one lookup instead of two.
	NoDevices bool
}

// validate checks what can be said without touching the host.
func (m Mount) validate() error {
	switch {
	case m.Mode > ReadWrite:
		return fmt.Errorf("unknown %v; use ReadOnly or ReadWrite", m.Mode)
	case m.Host == "":
		return fmt.Errorf("no host directory given")
	case !strings.HasPrefix(m.Guest, "/") || path.Clean(m.Guest) != m.Guest:
		return fmt.Errorf("guest path is not absolute and clean; give it as %q", path.Clean("/"+m.Guest))
	case len(m.Guest) > maxPath:
		return fmt.Errorf("guest path is %d bytes long; at most %d are allowed", len(m.Guest), maxPath)
	case !utf8.ValidString(m.Guest):
		return fmt.Errorf("guest path is not valid UTF-8")
	case strings.ContainsFunc(m.Guest, unicode.IsControl):
		return fmt.Errorf("guest path has a control character")
	}
	return nil
}

// within returns guest's path below above, when it lies strictly below it.
func within(above, guest string) (string, bool) {
	if above == "/" {
		return guest[1:], guest != "/"
	}
	rest, ok := strings.CutPrefix(guest, above)
	if !ok || !strings.HasPrefix(rest, "/") {
		return "", false
	}
	return rest[1:], true
}
