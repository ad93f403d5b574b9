package outbound

import "sync"

// maxDenials bounds the distinct denials that a job's result lists.
const maxDenials = 64

// Denial is one thing that was refused, as the job's result lists it.
type Denial struct {
	Target string `json:"target"` // scheme, host and port
	Rule   string `json:"rule"`   // the entry of a list, private, or the name of a limit
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

// denialLog is safe for concurrent use.
type denialLog struct {
	mu      sync.Mutex
	list    []Denial
	dropped int
}

func (l *denialLog) add(target, rule, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.list {
		if d := &l.list[i]; d.Target == target && d.Rule == rule && d.Reason == reason {
			d.Count++
			return
		}
	}
	if len(l.list) == maxDenials {
		l.dropped++
		return
	}
	l.list = append(l.list, Denial{target, rule, reason, 1})
}

// snapshot ends with a line that counts what found no room, if anything did not.
func (l *denialLog) snapshot() []Denial {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := append([]Denial(nil), l.list...)
	if l.dropped > 0 {
		out = append(out, Denial{"(others)", "(several)", "more denials than are listed", l.dropped})
	}
	return out
}
