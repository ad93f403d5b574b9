package artifacts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lockDir makes dir this process's own by an advisory lock on dir/lock, which
// the kernel drops with the process however it ends. The file names the holder
// for the error that a second opener gets.
func lockDir(dir, what string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", what, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			holder := make([]byte, 32)
			n, _ := f.ReadAt(holder, 0)
			pid := strings.TrimSpace(string(holder[:n]))
			return nil, fmt.Errorf("%s %s: %w (process %s); stop that one or give this one another directory", what, dir, ErrLocked, pid)
		}
		return nil, fmt.Errorf("lock %s %s: %w", what, dir, err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) // only for people
	}
	return f, nil
}
