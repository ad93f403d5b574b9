package artifacts

import (
	"strconv"

	"golang.org/x/sys/unix"
)

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
