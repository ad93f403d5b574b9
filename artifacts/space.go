package artifacts

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// FreeSpace returns the bytes that an unprivileged process may still write below
// dir, and the size of its file system.
func FreeSpace(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	block := int64(st.Bsize) //nolint:unconvert // its type differs between systems
	return int64(st.Bavail) * block, int64(st.Blocks) * block, nil
}

// CheckSpace returns ErrNoSpace when less than watermark bytes are free below
// dir. A worker asks before it fetches a job, since a disk that is almost full
// fails every job that writes.
func CheckSpace(dir string, watermark int64) error {
	free, _, err := FreeSpace(dir)
	if err != nil {
		return err
	}
	if free < watermark {
		return fmt.Errorf("%s: %w: %d MiB free where %d are kept; free space there or lower the watermark", dir, ErrNoSpace, free>>20, watermark>>20)
	}
	return nil
}
