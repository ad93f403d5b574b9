package meter

import (
	"fmt"
	"sync"
	"sync/atomic"

	"boxfleet/limits/metering"
)

// Image is what the linear memory of a module's instances holds at the start
// (metering.Module.Image). On Linux instances map it privately: they share its
// pages until they write, and a page they never touch costs nothing. Elsewhere,
// and when the system refuses, it is copied.
//
// An Image may be used by many runs at once. Close it when no run uses it any
// more.
type Image struct {
	end  uint64         // bytes of memory from 0 on that it says something of
	runs []metering.Run // to be copied; nil if there is a file
	file *imageFile     // to be mapped; nil if there is none
	held int64

	learned atomic.Bool // a run has shown what is warm

	mu     sync.Mutex
	free   []*mapping // mapped and as good as new
	warm   []span     // what runs write soon
	closed bool
}

// NewImage makes an image of runs as metering.Rewrite gives them, or nil of
// none. It keeps runs only when it cannot put them into a file.
func NewImage(runs []metering.Run) *Image {
	if len(runs) == 0 {
		return nil
	}
	i := &Image{end: runs[len(runs)-1].End()}
	if i.file, i.held = newImageFile(runs, i.end); i.file == nil {
		i.runs, i.held = runs, 0
		for _, r := range runs {
			i.held += int64(len(r.Data))
		}
	}
	return i
}

// Size is the memory in bytes that the image itself takes, whatever the number
// of instances. A nil Image takes none.
func (i *Image) Size() int64 {
	if i == nil {
		return 0
	}
	return i.held
}

// Close frees the image. No run may be using it. A nil Image is fine.
func (i *Image) Close() {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	for _, m := range i.free {
		m.discard()
	}
	i.free = nil
	if i.file != nil {
		i.file.close()
		i.file = nil
	}
}

// copyTo writes the image into a memory of zeros.
func (i *Image) copyTo(mem []byte) {
	for _, r := range i.runs {
		copy(mem[r.Offset:], r.Data)
	}
}

// Preload lets the next instance begin with an image: the next memory that is
// allocated holds it. Call it before Instantiate, with the image of the same
// module. A nil Image changes nothing.
func (m *Meter) Preload(i *Image) { m.image = i }

// begin puts the image into a memory when it gets its first size.
func (mem *memory) begin(b []byte) {
	i := mem.image
	if i == nil {
		return
	}
	if uint64(len(b)) < i.end {
		panic(fmt.Errorf("an image of %d bytes was preloaded for a memory of %d: it belongs to another module", i.end, len(b)))
	}
	if mem.mapping.image == nil {
		i.copyTo(b)
		return
	}
	mem.first = len(b)
	i.mu.Lock()
	warm := i.warm
	i.mu.Unlock()
	mem.mapping.warmUp(warm)
}
