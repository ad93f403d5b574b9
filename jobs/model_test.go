package jobs

import (
	"fmt"
	"testing"
)

// This is a model of the claim and commit protocol, small enough to visit
// every state it can get into. A job has one or two messages (it was submitted
// twice, beyond the de-duplication window), a record and a manifest. JetStream
// may deliver a message that is stored to anybody at any time: that covers
// redelivery, naks and workers that are slow. A worker may stop at every step
// and for ever (a crash), or go on after any pause. Compare-and-set compares
// with what was read before, everything else happens in between.
//
// A held job's first message is in the hold lane, where no worker pulls. Movers,
// the coordinator and one that has not noticed that it no longer is, store the
// second message, in the job's next lane, and remove the first.

const (
	modelWorkers  = 3
	modelMessages = 2
	modelMovers   = 2
	modelAttempts = 2 // the job's budget
)

type modelRecord struct {
	state     uint8 // 0 none, then Running, Retrying, Done
	attempt   uint8
	uncounted uint8
	holder    uint8 // worker, from 1
	seq       uint8 // message, from 1
	cancel    bool
	result    uint8 // attempt whose result it is, or one of the two below
}

const (
	mNone, mRunning, mRetrying, mDone = 0, 1, 2, 3

	mCanceled, mFailed = 100, 101
)

// Steps a worker can be at.
const (
	mIdle    = iota
	mGot     // has a message, will read the record
	mRead    // has read it, will claim or drop
	mRun     // holds the job
	mCheck   // has a result with outputs, will look whether it still holds
	mPut     // will store the manifest
	mWrite   // will write the record Done
	mGive    // will write the record Retrying
	mLetter  // will store a dead letter
	mFailing // has stored it, will write the record Done
	mAck     // will acknowledge
)

type modelWorker struct {
	step    uint8
	msg     uint8
	snap    modelRecord // what it read, later what it wrote
	result  uint8
	counted bool
}

// modelMover is one that releases a held job: it has the message and the
// record in its hands (moveRead), or the job stands elsewhere (moveDrop).
type modelMover struct {
	step uint8
	snap modelRecord
}

const (
	moveIdle = iota
	moveRead
	moveDrop
	moveLate // with flawDropFirst: has removed the message it was to store elsewhere
)

type modelState struct {
	rec      modelRecord
	movers   [modelMovers]modelMover
	manifest uint8 // the attempt whose manifest stands
	letters  bool
	msgs     [modelMessages]bool
	workers  [modelWorkers]modelWorker
	user     uint8 // 0 has not canceled, 1 has read, 2 has purged or is done, 3 will purge
	userSnap modelRecord
}

// modelFlaw breaks the protocol on purpose: the model must notice.
type modelFlaw string

const (
	flawNone         modelFlaw = "none"
	flawAckDuplicate modelFlaw = "acknowledge a duplicate while the job runs"
	flawAckFirst     modelFlaw = "acknowledge before the record is written"
	flawNoCAS        modelFlaw = "write the result without comparing"
	flawOverManifest modelFlaw = "store the manifest without a condition"
	flawNoTakeover   modelFlaw = "leave a silent worker's job alone"
	flawDropFirst    modelFlaw = "remove a held message before it is stored in its next lane"
	flawEndStarted   modelFlaw = "end a held job without comparing"
)

type model struct {
	workers, messages int
	movers            int // of a held job; its messages are two
	cancel            bool
	flaw              modelFlaw
}

// move gives the states that a mover's next step leads to.
func (m model) move(s modelState, emit func(modelState)) {
	for i := range m.movers {
		v := s.movers[i]
		step := func(change func(n *modelState, v *modelMover)) {
			n := s
			change(&n, &n.movers[i])
			if n.movers[i].step == moveIdle {
				n.movers[i] = modelMover{}
			}
			emit(n)
		}
		if v.step != moveIdle {
			step(func(_ *modelState, v *modelMover) { v.step = moveIdle }) // crash
		}
		switch v.step {
		case moveIdle:
			if s.msgs[0] {
				step(func(_ *modelState, v *modelMover) { v.step, v.snap = moveRead, s.rec })
			}
		case moveRead:
			started := v.snap.state == mRunning || v.snap.state == mRetrying
			switch {
			case v.snap.state == mDone, started && v.snap.seq != 1 && s.msgs[v.snap.seq-1]:
				step(func(_ *modelState, v *modelMover) { v.step = moveDrop })
			case m.flaw == flawDropFirst:
				step(func(n *modelState, v *modelMover) { n.msgs[0], v.step = false, moveLate })
			default:
				step(func(n *modelState, v *modelMover) { n.msgs[1], v.step = true, moveDrop })
			}
			if v.snap.state == mNone { // what it waits for has failed, or it expired
				step(func(n *modelState, v *modelMover) {
					if n.rec != v.snap && m.flaw != flawEndStarted {
						v.step = moveIdle
						return
					}
					n.rec.state, n.rec.holder, n.rec.result, v.step = mDone, 0, mCanceled, moveDrop
				})
			}
		case moveDrop:
			step(func(n *modelState, v *modelMover) { n.msgs[0], v.step = false, moveIdle })
		case moveLate:
			step(func(n *modelState, v *modelMover) { n.msgs[1], v.step = true, moveIdle })
		}
	}
}

func (r modelRecord) heldBy(o modelRecord) bool {
	return r.state == mRunning && r.attempt == o.attempt && r.holder == o.holder
}

// next gives every state that one step leads to.
func (m model) next(s modelState, emit func(modelState)) {
	for i := range m.workers {
		w := s.workers[i]
		move := func(change func(n *modelState, w *modelWorker)) {
			n := s
			change(&n, &n.workers[i])
			if n.workers[i].step == mIdle {
				n.workers[i] = modelWorker{}
			}
			emit(n)
		}
		if w.step != mIdle {
			move(func(_ *modelState, w *modelWorker) { w.step = mIdle }) // crash
		}
		switch w.step {
		case mIdle:
			for k := range m.messages {
				if s.msgs[k] && (k > 0 || m.movers == 0) {
					move(func(_ *modelState, w *modelWorker) { w.step, w.msg = mGot, uint8(k+1) })
				}
			}
		case mGot:
			move(func(_ *modelState, w *modelWorker) { w.step, w.snap = mRead, s.rec })
		case mRead:
			move(func(n *modelState, w *modelWorker) { m.claim(n, w, uint8(i+1)) })
		case mRun:
			move(func(_ *modelState, w *modelWorker) { w.step, w.result = mWrite, w.snap.attempt }) // no outputs
			move(func(_ *modelState, w *modelWorker) { w.step, w.result = mCheck, w.snap.attempt })
			if s.rec.heldBy(w.snap) && s.rec.cancel {
				move(func(_ *modelState, w *modelWorker) { w.step, w.result = mWrite, mCanceled })
			}
			if w.snap.attempt-w.snap.uncounted >= modelAttempts {
				move(func(_ *modelState, w *modelWorker) { w.step = mLetter })
			} else {
				move(func(_ *modelState, w *modelWorker) { w.step, w.counted = mGive, true })
			}
			if w.snap.uncounted == 0 {
				move(func(_ *modelState, w *modelWorker) { w.step = mGive }) // drain, or sick
			}
		case mCheck:
			move(func(_ *modelState, w *modelWorker) {
				switch {
				case !s.rec.heldBy(w.snap):
					w.step = mIdle
				case s.rec.cancel:
					w.step, w.result = mWrite, mCanceled
				default:
					w.step = mPut
				}
			})
		case mPut:
			move(func(n *modelState, w *modelWorker) {
				if n.manifest == 0 || m.flaw == flawOverManifest {
					n.manifest = w.result
				}
				w.result, w.step = n.manifest, mWrite
			})
		case mWrite, mFailing:
			if m.flaw == flawAckFirst && w.step == mWrite && s.msgs[w.msg-1] {
				move(func(n *modelState, w *modelWorker) { n.msgs[w.msg-1] = false })
				continue
			}
			move(func(n *modelState, w *modelWorker) { m.write(n, w) })
		case mGive:
			move(func(n *modelState, w *modelWorker) {
				switch {
				case !n.rec.heldBy(w.snap):
				case n.rec.cancel:
					n.rec.state, n.rec.result, w.step = mDone, mCanceled, mAck
					return
				default:
					n.rec.state, n.rec.holder = mRetrying, 0
					if !w.counted {
						n.rec.uncounted++
					}
				}
				w.step = mIdle
			})
		case mLetter:
			move(func(n *modelState, w *modelWorker) { n.letters, w.step, w.result = true, mFailing, mFailed })
		case mAck:
			move(func(n *modelState, w *modelWorker) { n.msgs[w.msg-1], w.step = false, mIdle })
		}
	}
	m.move(s, emit)
	if !m.cancel {
		return
	}
	n := s
	switch s.user {
	case 0:
		n.user, n.userSnap = 1, s.rec
	case 1:
		switch {
		case s.rec != s.userSnap:
			n.user = 0 // lost the race: read again
		case s.rec.state == mDone:
			n.user = 2
		case s.rec.state == mRunning:
			n.rec.cancel, n.user = true, 2
		default:
			n.rec.state, n.rec.holder, n.rec.result, n.user = mDone, 0, mCanceled, 3
		}
		n.userSnap = modelRecord{}
	case 3:
		n.msgs, n.user = [modelMessages]bool{}, 2
	default:
		return
	}
	emit(n)
}

// claim is Worker.claim after its read.
func (m model) claim(n *modelState, w *modelWorker, self uint8) {
	snap := w.snap
	switch {
	case snap.state == mDone:
		w.step = mAck
		return
	case snap.state == mRunning && snap.seq != w.msg && n.msgs[snap.seq-1]:
		if w.step = mIdle; m.flaw == flawAckDuplicate {
			w.step = mAck
		}
		return
	case snap.state == mRunning && m.flaw == flawNoTakeover:
		w.step = mIdle
		return
	case n.rec != snap:
		w.step = mGot // lost the compare-and-set: read again
		return
	}
	spent := snap.attempt-snap.uncounted >= modelAttempts
	if !spent {
		n.rec.attempt++
	}
	n.rec.state, n.rec.holder, n.rec.seq = mRunning, self, w.msg
	w.snap = n.rec
	switch {
	case n.rec.cancel:
		w.step, w.result = mWrite, mCanceled
	case spent:
		w.step = mLetter
	default:
		w.step = mRun
	}
}

// write is Worker.writeResult.
func (m model) write(n *modelState, w *modelWorker) {
	if !n.rec.heldBy(w.snap) && m.flaw != flawNoCAS {
		w.step = mIdle // fenced
		return
	}
	if n.rec.cancel && w.result != n.manifest { // no outputs are committed: the cancel wins
		w.result = mCanceled
	}
	n.rec.state, n.rec.result = mDone, w.result
	w.step = mAck
}

// check walks every state and returns how many there are and the first
// promise that is broken.
func (m model) check() (states int, broken error) {
	start := modelState{}
	for k := range m.messages {
		start.msgs[k] = k == 0 || m.movers == 0
	}
	seen := map[modelState]int32{start: 0}
	order := []modelState{start}
	var back [][]int32 // edges, backwards
	back = append(back, nil)
	for at := 0; at < len(order); at++ {
		s := order[at]
		m.next(s, func(n modelState) {
			if broken == nil {
				broken = promise(s, n)
			}
			id, ok := seen[n]
			if !ok {
				id = int32(len(order))
				seen[n] = id
				order = append(order, n)
				back = append(back, nil)
			}
			back[id] = append(back[id], int32(at))
		})
		if broken != nil {
			return len(order), fmt.Errorf("%w\nin %+v", broken, s)
		}
	}
	// From every state the end can be reached: done, and no message left.
	can := make([]bool, len(order))
	var queue []int32
	for id, s := range order {
		if s.rec.state == mDone && s.msgs == [modelMessages]bool{} {
			can[id] = true
			queue = append(queue, int32(id))
		}
	}
	for len(queue) > 0 {
		id := queue[0]
		queue = queue[1:]
		for _, from := range back[id] {
			if !can[from] {
				can[from] = true
				queue = append(queue, from)
			}
		}
	}
	for id, ok := range can {
		if !ok {
			return len(order), fmt.Errorf("the job can never end from %+v", order[id])
		}
	}
	return len(order), nil
}

// promise holds one step against what boxfleet promises.
func promise(s, n modelState) error {
	if s.rec.state == mDone && s.rec != n.rec {
		return fmt.Errorf("a committed result changed: %+v to %+v", s.rec, n.rec)
	}
	if s.manifest != 0 && s.manifest != n.manifest {
		return fmt.Errorf("the manifest of attempt %d was replaced by that of %d", s.manifest, n.manifest)
	}
	if n.rec.state != mDone && n.msgs == [modelMessages]bool{} {
		return fmt.Errorf("the job is lost: its record is %+v and no message is left", n.rec)
	}
	if n.rec.attempt-n.rec.uncounted > modelAttempts {
		return fmt.Errorf("attempt %d of %d", n.rec.attempt-n.rec.uncounted, modelAttempts)
	}
	if n.rec.state == mDone && n.rec.result == mFailed && !n.letters {
		return fmt.Errorf("failed without a dead letter")
	}
	return nil
}

func TestProtocolModel(t *testing.T) {
	t.Parallel()
	for _, m := range []model{
		{workers: 2, messages: 1, cancel: true},
		{workers: 2, messages: 2},
		{workers: 3, messages: 1},
		{workers: 1, messages: 2, movers: 1, cancel: true},
		{workers: 1, messages: 2, movers: 2},
		{workers: 2, messages: 2, movers: 1},
	} {
		m.flaw = flawNone
		states, err := m.check()
		if err != nil {
			t.Errorf("%d workers, %d messages, %d movers, cancel %v: %v", m.workers, m.messages, m.movers, m.cancel, err)
		}
		t.Logf("%d workers, %d messages, %d movers, cancel %v: %d states", m.workers, m.messages, m.movers, m.cancel, states)
	}
}

// TestProtocolModelNotices: without its safeguards the protocol breaks, and
// the model says so.
func TestProtocolModelNotices(t *testing.T) {
	t.Parallel()
	for _, flaw := range []modelFlaw{flawAckDuplicate, flawAckFirst, flawNoCAS, flawOverManifest, flawNoTakeover} {
		m := model{workers: 2, messages: 2, flaw: flaw}
		if states, err := m.check(); err == nil {
			t.Errorf("%s: not noticed in %d states", flaw, states)
		}
	}
	for _, flaw := range []modelFlaw{flawDropFirst, flawEndStarted} {
		m := model{workers: 1, messages: 2, movers: 2, flaw: flaw}
		if states, err := m.check(); err == nil {
			t.Errorf("%s: not noticed in %d states", flaw, states)
		}
	}
}
