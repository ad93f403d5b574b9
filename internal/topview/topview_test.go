package topview

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"go.uber.org/goleak"

	"boxfleet/internal/fleetview"
	"boxfleet/internal/fleetview/fleetviewtest"
	"boxfleet/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func snapshot() *fleetview.Snapshot {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := &fleetview.Snapshot{
		At: at, Tenant: "acme", Connected: true, Slots: 8, Busy: 3, Rate: 12.5, Window: 300, Waiting: 41, RunningAll: 3,
		Counts: map[jobs.Outcome]int{jobs.Succeeded: 90, jobs.TimedOut: 2, jobs.Canceled: 5},
		Total:  fleetview.Spread{N: 97, P50: 12, P95: 1234},
		Queues: []fleetview.Queue{{Tenant: "acme", Priority: "high", Waiting: 1}, {Tenant: "acme", Priority: "normal", Waiting: 40, Active: 3}},
		Tools:  []fleetview.ToolUse{{Tool: "jq@1.7.0", Jobs: 9, Run: fleetview.Spread{P50: 1, P95: 900, Max: 950}}, {Tool: "sh@5.2.0", Jobs: 88, Failed: 2, Run: fleetview.Spread{P50: .2, P95: 3, Max: 70000}}},
		Failures: []fleetview.Job{
			{ID: strings.Repeat("i", 64), Tool: "sh@5.2.0", Outcome: jobs.TimedOut, Error: strings.Repeat("very long 日本 ", 40), Finished: at.Add(-time.Minute)},
		},
		Problems: []string{"queues: " + strings.Repeat("x", 300)},
	}
	for i := range 30 {
		s.Workers = append(s.Workers, fleetview.Worker{Presence: jobs.Presence{Name: "worker-" + string(rune('a'+i%26)), Slots: 4, Active: i % 5, Finished: 1000, Started: at.Add(-time.Hour)}})
		w := i
		s.Series = append(s.Series, fleetview.Sample{Second: int64(i), Waiting: &w, Ended: [fleetview.Groups]int{i, 0, 1}})
	}
	s.Workers[1].Sick = "the store is away"
	return s
}

// TestFits: no line is longer than the terminal, and no screen higher.
func TestFits(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{200, 50}, {118, 40}, {117, 40}, {80, 24}, {40, 10}, {20, 5}, {1, 1}, {5, 0}, {300, 3}} {
		m := &model{snap: snapshot(), look: newLook(lipgloss.NewRenderer(io.Discard)), width: size[0], height: size[1]}
		lines := strings.Split(m.View(), "\n")
		if len(lines) > max(1, size[1]) {
			t.Errorf("%v: %d lines", size, len(lines))
		}
		for _, line := range lines {
			if w := ansi.StringWidth(line); w > size[0] {
				t.Errorf("%v: a line is %d wide: %q", size, w, line)
			}
		}
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := Write(&out, snapshot()); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{"tenant acme", "12.5/s ended", "41 waiting", "3/8 slots", "sick: the store is away", "jq@1.7.0", "timed out", "2 failed", "1m0s", "20 of 30"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text has no %q", want)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Errorf("the text has escapes: %q", text)
	}
	if strings.Index(text, "jq@1.7.0") > strings.Index(text, "sh@5.2.0") {
		t.Error("the slowest tool is not the first")
	}
	out.Reset()
	if err := Write(&out, &fleetview.Snapshot{}); err != nil || !strings.Contains(out.String(), "no worker is alive") {
		t.Errorf("an empty fleet: %v, %s", err, out.String())
	}
}

func TestSort(t *testing.T) {
	t.Parallel()
	l := newLook(lipgloss.NewRenderer(io.Discard))
	for sort, first := range map[int]string{sortSlowest: "jq", sortMost: "sh", sortFailed: "sh"} {
		if lines := l.tools(snapshot(), 80, 5, sort); !strings.HasPrefix(lines[2], first) {
			t.Errorf("sorted %s the first tool is %q", sortNames[sort], lines[2])
		}
	}
}

// screen collects what is drawn, and tells when something was.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
	drew chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	select {
	case s.drew <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *screen) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), text)
}

// TestRun draws a real fleet, and leaves by a key and by the end of the
// context.
func TestRun(t *testing.T) {
	t.Parallel()
	f := fleetviewtest.Start(t)
	f.Play("breaks", func(context.Context, *jobs.Attempt) (*jobs.Result, error) {
		return &jobs.Result{Outcome: jobs.Trapped, Error: "\x1b]0;owned\x07"}, nil
	})
	view := f.Watch()
	f.Submit(fleetviewtest.Job("one", "breaks"))
	f.Until(view, "the failure", func(s *fleetview.Snapshot) bool { return len(s.Failures) == 1 && len(s.Workers) == 1 })
	for _, leave := range []string{"key", "context"} {
		t.Run(leave, func(t *testing.T) {
			in, keys := io.Pipe()
			out := &screen{drew: make(chan struct{}, 1)}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- Run(ctx, view, Options{In: in, Out: out}) }()
			for !out.has("\x1b[?1049h") { // the other screen
				<-out.drew
			}
			if leave == "key" {
				if _, err := keys.Write([]byte("q")); err != nil {
					t.Fatal(err)
				}
			} else {
				cancel()
			}
			if err := <-ended; err != nil {
				t.Errorf("Run gives %v", err)
			}
			if !out.has("\x1b[?1049l") {
				t.Error("the terminal is not given back")
			}
			if out.has("owned\x07") {
				t.Error("a guest's text drives the terminal")
			}
			_ = keys.CloseWithError(errors.New("the end"))
		})
	}
}
