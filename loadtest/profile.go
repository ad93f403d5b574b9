package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"boxfleet/loadtest/report"
)

// profile is one way to load a fleet.
type profile struct {
	run  func(context.Context, *target, options) (*report.Report, error)
	need layout
	own  bool // only a fleet that is started for it will do

	// What is taken where the command line says nothing.
	jobs    int
	rate    float64
	workers int
	slots   int
	tool    string
	wait    time.Duration // of the work tool
}

var profiles = map[string]profile{
	"cold":    {run: cold, need: layout{split: true, share: true}, jobs: 20, tool: "code"},
	"steady":  {run: steady, rate: 200, tool: "work"},
	"burst":   {run: burst, jobs: 10_000, tool: "noop"},
	"single":  {run: single, jobs: 1000, tool: "noop"},
	"mix":     {run: mix, rate: 20, tool: ""},
	"scale":   {run: scale, need: layout{noWorker: true}, own: true, workers: 4, slots: 8, tool: "work", wait: 20 * time.Millisecond},
	"faults":  {run: faults, need: layout{noWorker: true}, own: true, rate: 100, workers: 3, slots: 8, tool: "work", wait: 5 * time.Millisecond},
	"stall":   {run: stall, need: layout{split: true}, jobs: 300, tool: "big"},
	"memory":  {run: memory, need: layout{split: true}, own: true, jobs: 10_000, tool: "noop"},
	"soak":    {run: soak, need: layout{split: true}, own: true, jobs: 10_000, tool: "noop"},
	"backlog": {run: backlog, need: layout{noWorker: true}, own: true, jobs: 10_000, tool: "noop"},
}

func profileNames() []string { return slices.Sorted(maps.Keys(profiles)) }

// fill puts the profile's own values where the command line gave none.
func (p profile) fill(o *options) {
	if o.jobs == 0 {
		o.jobs = p.jobs
	}
	if o.rate == 0 {
		o.rate = p.rate
	}
	if o.workers == 0 {
		o.workers = p.workers
	}
	if o.slots == 0 {
		o.slots = p.slots
	}
	if o.tool == "" {
		o.tool = p.tool
	}
	if o.wait < 0 {
		o.wait = p.wait
	}
}
