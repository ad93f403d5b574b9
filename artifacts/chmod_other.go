//go:build unix && !linux

package artifacts

import "golang.org/x/sys/unix"

// chmodDirAt gives the owner all permissions on a directory, not on what a link
// of that name points to.
func chmodDirAt(dir int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&0o700 == 0o700 {
		return nil
	}
	return unix.Fchmodat(dir, name, 0o700, unix.AT_SYMLINK_NOFOLLOW)
}
