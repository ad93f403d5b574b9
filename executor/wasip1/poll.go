package wasip1

import (
	"math"
	"time"

	"boxfleet/executor/sandboxfs"
)

// maxSubscriptions bounds one poll_oneoff; a guest has fewer things to wait for.
const maxSubscriptions = 4096

const (
	eventClock = iota
	eventFdRead
	eventFdWrite

	eventHangup = 1 // flag: the other end is closed
)

// subscription is one thing a guest waits for.
type subscription struct {
	userdata uint64
	event    byte
	err      errno
	wait     uint64 // eventClock: nanoseconds of the monotonic clock to wait until
	fd       uint32
}

// pollOneoff waits until at least one subscription has an event and reports all
// that have one.
func (s *System) pollOneoff(p []uint64) errno {
	in, out, n, countAt := uint32(p[0]), uint32(p[1]), uint32(p[2]), uint32(p[3])
	if n == 0 || n > maxSubscriptions {
		return errInval
	}
	list, ok := s.bytes(in, n*sizeSubscription)
	if !ok {
		return errFault
	}
	events, ok := s.bytes(out, n*sizeEvent)
	if !ok {
		return errFault
	}
	if _, ok := s.bytes(countAt, 4); !ok {
		return errFault
	}
	subs, next := s.subscriptions(list)
	for {
		now := s.clock.Monotonic()
		count, stdin := s.events(subs, now, events)
		if count > 0 {
			return s.putU32(countAt, count)
		}
		d := time.Duration(math.MaxInt64)
		if left := next - now; next != math.MaxUint64 && left < math.MaxInt64 {
			d = time.Duration(left)
		}
		var wake <-chan struct{}
		if stdin {
			wake = s.stdin.wake
		}
		done := s.done()
		s.clock.Wait(d, wake, done)
		s.check()
		select {
		case <-done:
			return errIntr // done, and yet nothing asks to stop
		default:
		}
	}
}

// subscriptions decodes the list, which the events may overwrite, and the
// earliest time waited for.
func (s *System) subscriptions(list []byte) (subs []subscription, next uint64) {
	next = math.MaxUint64
	subs = make([]subscription, 0, len(list)/sizeSubscription)
	for ; len(list) > 0; list = list[sizeSubscription:] {
		sub := subscription{userdata: le.Uint64(list), event: list[8]}
		switch sub.event {
		case eventClock:
			sub.wait, sub.err = s.until(le.Uint32(list[16:]), le.Uint64(list[24:]), le.Uint16(list[40:]))
			if sub.err == errSuccess {
				next = min(next, sub.wait)
			}
		case eventFdRead, eventFdWrite:
			sub.fd = le.Uint32(list[16:])
		default:
			sub.err = errInval
		}
		subs = append(subs, sub)
	}
	return subs, next
}

// until turns a clock subscription into a time of the monotonic clock.
func (s *System) until(id uint32, timeout uint64, flags uint16) (uint64, errno) {
	const absolute = 1
	if flags&^absolute != 0 {
		return 0, errInval
	}
	now, e := s.now(id)
	if e != errSuccess {
		return 0, e
	}
	if flags&absolute != 0 {
		timeout -= min(now, timeout)
	}
	mono := now
	if id != clockMonotonic {
		mono = s.clock.Monotonic()
	}
	if timeout > math.MaxUint64-mono {
		return math.MaxUint64, errSuccess
	}
	return mono + timeout, errSuccess
}

// events writes the events there are now and returns how many, and whether stdin
// is being waited for.
func (s *System) events(subs []subscription, now uint64, out []byte) (count uint32, stdin bool) {
	for i := range subs {
		sub := &subs[i]
		e, bytes, flags := sub.err, uint64(0), uint16(0)
		switch {
		case e != errSuccess:
		case sub.event == eventClock:
			if now < sub.wait {
				continue
			}
		default:
			var ready bool
			if ready, bytes, flags, e = s.fdReady(sub); !ready {
				stdin = true
				continue
			}
		}
		b := out[:sizeEvent]
		out = out[sizeEvent:]
		clear(b)
		le.PutUint64(b, sub.userdata)
		le.PutUint16(b[8:], uint16(e))
		b[10] = sub.event
		le.PutUint64(b[16:], bytes)
		le.PutUint16(b[24:], flags)
		count++
	}
	return count, stdin
}

// fdReady says whether a descriptor can be read or written at once, how much there
// is to read, and the event's flags. Only stdin is ever waited for.
func (s *System) fdReady(sub *subscription) (ready bool, bytes uint64, flags uint16, e errno) {
	r := rightFdRead
	if sub.event == eventFdWrite {
		r = rightFdWrite
	}
	d, e := s.need(uint64(sub.fd), r|rightPollFdReadwrite)
	switch {
	case e != errSuccess:
		return true, 0, 0, e
	case d.kind == kindStdin:
		ready = s.stdin.ready()
		if bytes = s.stdin.buffered(); ready && bytes == 0 {
			flags = eventHangup
		}
		return ready, bytes, flags, errSuccess
	case d.kind == kindFile && sub.event == eventFdRead:
		st, err := d.file.Stat()
		if err != nil {
			return true, 0, 0, errnoOf(err)
		}
		pos, err := d.file.Seek(0, 1)
		if err != nil || st.Type != sandboxfs.TypeRegular {
			return true, 0, 0, errnoOf(err)
		}
		return true, uint64(max(0, st.Size-pos)), 0, errSuccess
	}
	return true, 0, 0, errSuccess
}
