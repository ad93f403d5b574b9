package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"boxfleet/internal/harden"
)

// hardening is what is done to this process, in two steps.
type hardening struct {
	mode  harden.Mode
	log   *slog.Logger
	first harden.Report
}

// startHardening does what can be done before anything is opened.
func startHardening(s *settings, log *slog.Logger) (*hardening, error) {
	report, err := harden.Process(s.hardening)
	if err != nil {
		return nil, fmt.Errorf("hardening: %w", err)
	}
	return &hardening{mode: s.hardening, log: log, first: report}, nil
}

// confine keeps the process to its directories, and says what is on. Whatever
// else is to be opened must be open.
func (h *hardening) confine(s *settings, alsoWritable ...string) error {
	paths := harden.Paths{}
	for _, dir := range append([]string{s.scratchDir, s.cacheDir}, alsoWritable...) {
		if dir != "" { // a gate has none
			paths.ReadWrite = append(paths.ReadWrite, dir)
		}
	}
	// The NATS client reads these again at every reconnect, and who renews a
	// certificate replaces the file: hence the directories.
	for _, file := range []string{s.natsCreds, s.natsCA, s.natsCert, s.natsKey} {
		if file != "" {
			paths.ReadOnly = append(paths.ReadOnly, filepath.Dir(file))
		}
	}
	second, err := harden.Confine(h.mode, paths)
	if err != nil {
		return fmt.Errorf("hardening: %w", err)
	}
	all := harden.Join(h.first, second)
	switch {
	case h.mode == harden.Off:
		h.log.Warn("this process is not hardened: hardening is off")
	case len(all.Missing) > 0:
		h.log.Warn("this process is hardened in part", "on", all.On, "missing", all.Missing)
	default:
		h.log.Info("this process is hardened", "on", all.On)
	}
	return nil
}

// open tells whoever started the worker that jobs can run, then confines the
// process: the ready file may lie anywhere. If that fails, there is no ready
// file and no job has started.
func (h *hardening) open(s *settings, readyFile, url string, alsoWritable ...string) error {
	if err := writeReady(readyFile, url); err != nil {
		return fmt.Errorf("write the ready file: %w", err)
	}
	err := h.confine(s, alsoWritable...)
	if err != nil && readyFile != "" {
		_ = os.Remove(readyFile)
	}
	return err
}
