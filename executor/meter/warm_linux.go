package meter

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"
)

// maxWarm bounds the pages of an image that are made ready, in bytes.
const maxWarm = 1 << 20

// span is a part of a memory, in bytes from its beginning.
type span struct{ from, to int }

// learn finds out which pages the first run of a module has written, out of
// mem, the memory at its first size. The next runs will write much the same
// ones, above all what a language's runtime sets up, and a hundred pages made
// ready at once cost less than a hundred faults.
func (i *Image) learn(mem []byte) {
	if i.learned.Swap(true) {
		return
	}
	original, err := unix.Mmap(i.file.fd, 0, i.file.size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return
	}
	defer func() { _ = unix.Munmap(original) }()
	page := os.Getpagesize()
	zeros := make([]byte, page)
	var warm []span
	total := 0
	for at := 0; at+page <= len(mem) && total < maxWarm; at += page {
		was := zeros
		if at+page <= len(original) {
			was = original[at : at+page]
		}
		if bytes.Equal(mem[at:at+page], was) {
			continue
		}
		total += page
		// One call for what lies together, and for what almost does.
		if n := len(warm) - 1; n >= 0 && at-warm[n].to <= 2*page {
			total += at - warm[n].to
			warm[n].to = at + page
		} else {
			warm = append(warm, span{at, at + page})
		}
	}
	i.mu.Lock()
	i.warm = warm
	i.mu.Unlock()
}

// warmUp makes pages ready to be written (madvise(2), MADV_POPULATE_WRITE). A
// system that cannot do it makes them ready one by one, when they are written.
func (m *mapping) warmUp(warm []span) {
	for _, s := range warm {
		if unix.Madvise(m.mem[s.from:s.to], unix.MADV_POPULATE_WRITE) != nil {
			return
		}
	}
}
