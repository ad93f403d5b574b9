package artifacts

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Workspaces is the directory below which jobs get theirs. One process owns it.
type Workspaces struct {
	dir   string
	lock  *os.File
	swept int

	mu     sync.Mutex
	closed bool
}

// Workspace is a private directory of one attempt.
type Workspace struct {
	Dir string // mode 0700
}

// OpenWorkspaces makes dir, locks it and removes the workspaces that an earlier
// process left there, however it ended and whatever guests did to their modes.
func OpenWorkspaces(dir string) (*Workspaces, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open workspaces: %w", err)
	}
	jobs := filepath.Join(dir, "jobs")
	if err := os.MkdirAll(jobs, 0o700); err != nil {
		return nil, diskError("open workspaces", dir, err)
	}
	lock, err := lockDir(dir, "workspace directory")
	if err != nil {
		return nil, err
	}
	w := &Workspaces{dir: jobs, lock: lock}
	old, err := os.ReadDir(jobs)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sweep workspaces: %w", err), lock.Close())
	}
	for _, e := range old {
		if err := removeTree(filepath.Join(jobs, e.Name())); err != nil {
			return nil, errors.Join(fmt.Errorf("sweep workspaces: %w", err), lock.Close())
		}
		w.swept++
	}
	return w, nil
}

// Swept is how many workspaces of earlier processes were removed.
func (w *Workspaces) Swept() int { return w.swept }

// Dir is where the workspaces are, for CheckSpace.
func (w *Workspaces) Dir() string { return w.dir }

// New makes an empty directory, mode 0700, for an attempt at a job. The same
// attempt may be started twice on one worker after a redelivery, so each call
// makes another.
func (w *Workspaces) New(job string, attempt int) (*Workspace, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, errors.New("new workspace: workspaces are closed")
	}
	dir := filepath.Join(w.dir, fmt.Sprintf("%s.%d.%s", dirName(job), attempt, rand.Text()[:10]))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, diskError("new workspace", dir, err)
	}
	return &Workspace{Dir: dir}, nil
}

// Close lets another process have the directory. Workspaces still there are
// swept by it.
func (w *Workspaces) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	return w.lock.Close()
}

// Sub makes a directory of the workspace, mode 0700, for one mount.
func (w *Workspace) Sub(name string) (string, error) {
	dir := filepath.Join(w.Dir, dirName(name))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", diskError("make workspace directory", dir, err)
	}
	return dir, nil
}

// Remove deletes the workspace and everything in it. Links are deleted, never
// followed. It may be called again.
func (w *Workspace) Remove() error {
	if err := removeTree(w.Dir); err != nil {
		return fmt.Errorf("remove workspace: %w", err)
	}
	return nil
}

// dirName keeps what is harmless of a name that a tenant chose, for people who
// look into the directory; it need not be unique.
func dirName(s string) string {
	s = strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, s)
	if len(s) > 64 {
		s = s[:64]
	}
	if s == "" {
		s = "-"
	}
	return s
}

// Stage fills an empty directory of the workspace.
func (w *Workspace) Stage(ctx context.Context, name string, req StageRequest) (string, StageReport, error) {
	dir, err := w.Sub(name)
	if err != nil {
		return "", StageReport{}, err
	}
	req.Dir = dir
	report, err := Stage(ctx, req)
	return dir, report, err
}
