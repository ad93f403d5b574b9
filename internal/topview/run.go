package topview

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"

	"boxfleet/internal/fleetview"
)

// Options of Run.
type Options struct {
	In  io.Reader // the keyboard
	Out io.Writer // the terminal
	// Interval is the time between two pictures; at least a second.
	Interval time.Duration
}

// Run draws view's pictures until the user leaves or ctx ends. view must be
// kept by its Run meanwhile.
func Run(ctx context.Context, view *fleetview.View, o Options) error {
	m := &model{view: view, look: newLook(lipgloss.NewRenderer(o.Out))}
	m.snap, _ = view.Snapshot()
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(o.In), tea.WithOutput(o.Out), tea.WithAltScreen(), tea.WithoutSignalHandler())
	ticking, stop := context.WithCancel(ctx)
	var ticks sync.WaitGroup
	ticks.Go(func() {
		next := time.NewTicker(max(time.Second, o.Interval))
		defer next.Stop()
		for {
			select {
			case <-ticking.Done():
				return
			case <-next.C:
				p.Send(tick{})
			}
		}
	})
	_, err := p.Run()
	stop()
	ticks.Wait()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return nil // leaving by a signal is leaving
	}
	if err != nil {
		return fmt.Errorf("draw on the terminal: %w", err)
	}
	return nil
}

// Write draws one picture as plain text of any width.
func Write(w io.Writer, s *fleetview.Snapshot) error {
	r := lipgloss.NewRenderer(w)
	r.SetColorProfile(termenv.Ascii)
	lines := newLook(r).picture(s, plainWidth, 0, sortSlowest)
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

// plainWidth cuts the lines of Write.
const plainWidth = 160

// model is the program's state; bubbletea calls its methods one at a time.
type model struct {
	view          *fleetview.View
	look          look
	snap          *fleetview.Snapshot
	paused        bool
	sort          int
	width, height int
}

// tick says that it is time for another picture.
type tick struct{}

// Init implements tea.Model.
func (m *model) Init() tea.Cmd { return nil }

// Update implements tea.Model.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tick:
		if !m.paused {
			m.snap, _ = m.view.Snapshot()
		}
	case tea.KeyMsg:
		switch msg.String() {
		case "q", "esc", "ctrl+c":
			return m, tea.Quit
		case "p", " ":
			m.paused = !m.paused
		case "s":
			m.sort = (m.sort + 1) % sorts
		}
	}
	return m, nil
}

// View implements tea.Model.
func (m *model) View() string {
	if m.width == 0 {
		return ""
	}
	lines := m.look.picture(m.snap, m.width, m.height, m.sort)
	foot := "q leave   p pause   s sort tools"
	if m.paused {
		foot = "paused; p goes on   q leave   s sort tools"
	}
	lines = lines[:min(len(lines), max(0, m.height-1))]
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	for i := range lines {
		lines[i] = ansi.Truncate(lines[i], m.width, "…")
	}
	return strings.Join(append(lines, ansi.Truncate(m.look.faint.Render(foot), m.width, "…")), "\n")
}
