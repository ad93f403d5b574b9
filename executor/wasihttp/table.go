package wasihttp

// resource is what a handle stands for.
type resource interface {
	// release gives back what the resource holds, when its handle is dropped or the Host is closed.
	release(h *Host)
}

// slot is one live handle. A slot with children cannot be dropped.
type slot struct {
	res    resource
	parent *slot
	kids   int
}

// table maps handles to resources. The component model has one table per instance for all types, whose indices begin
// at 1 and are used again, the last dropped first. Only the guest's thread touches it.
type table struct {
	slots      []*slot // slots[0] stays nil
	free       []uint32
	live, peak int
}

func (c *call) slot(handle uint32) *slot {
	t := &c.h.table
	if handle == 0 || int64(handle) >= int64(len(t.slots)) || t.slots[handle] == nil {
		c.trap("handle %d does not exist", handle)
	}
	return t.slots[handle]
}

// add gives the resource a handle, as a child of the parent's if that is not 0.
func (c *call) add(res resource, parent uint32) uint32 {
	t := &c.h.table
	s := &slot{res: res}
	if t.live >= c.h.cfg.Handles {
		res.release(c.h)
		c.trap("more than %d handles at once", c.h.cfg.Handles)
	}
	if parent != 0 {
		s.parent = c.slot(parent)
		s.parent.kids++
	}
	t.live++
	t.peak = max(t.peak, t.live)
	if n := len(t.free); n > 0 {
		handle := t.free[n-1]
		t.free = t.free[:n-1]
		t.slots[handle] = s
		return handle
	}
	if len(t.slots) == 0 {
		t.slots = append(t.slots, nil)
	}
	t.slots = append(t.slots, s)
	return uint32(len(t.slots) - 1)
}

func (c *call) remove(handle uint32) {
	t := &c.h.table
	if s := t.slots[handle]; s.parent != nil {
		s.parent.kids--
	}
	t.slots[handle] = nil
	t.free = append(t.free, handle)
	t.live--
}

// borrow gives the resource behind a handle and leaves the handle with the guest.
func borrow[T resource](c *call, handle uint64) T {
	res, ok := c.slot(uint32(handle)).res.(T)
	if !ok {
		c.trap("handle %d is of another type", uint32(handle))
	}
	return res
}

// ownable is what own takes, still with the guest. A call that takes several handles checks all of them first: one that
// was taken before a trap would belong to nobody.
func ownable[T resource](c *call, handle uint64) T {
	res := borrow[T](c, handle)
	if c.slot(uint32(handle)).kids > 0 {
		c.trap("handle %d has children that are not dropped", uint32(handle))
	}
	return res
}

// own takes a handle from the guest.
func own[T resource](c *call, handle uint64) T {
	res := ownable[T](c, handle)
	c.remove(uint32(handle))
	return res
}

// drop is [resource-drop] for one type.
func drop[T resource](c *call, s []uint64) { own[T](c, s[0]).release(c.h) }

func (t *table) clear(h *Host) {
	for _, s := range t.slots {
		if s != nil {
			s.res.release(h)
		}
	}
	t.slots, t.free, t.live = nil, nil, 0
}
