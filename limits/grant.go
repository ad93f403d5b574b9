package limits

import (
	"errors"
	"fmt"
	"time"
)

// Amounts are the countable limits of a run. A zero amount means "not said".
type Amounts struct {
	Timeout          Duration `json:"timeout"`           // wall clock of the run
	Memory           Bytes    `json:"memory"`            // all linear memories and tables
	Stack            Bytes    `json:"stack"`             // metered stack
	Fuel             uint64   `json:"fuel"`              // executed operators
	Stdout           Bytes    `json:"stdout"`            // captured standard output
	Stderr           Bytes    `json:"stderr"`            // captured standard error
	WrittenBytes     Bytes    `json:"written_bytes"`     // written to the guest's file system
	Files            uint64   `json:"files"`             // files and directories created
	OpenFiles        uint64   `json:"open_files"`        // descriptors open at once
	OutboundBytes    Bytes    `json:"outbound_bytes"`    // HTTP, both ways
	OutboundRequests uint64   `json:"outbound_requests"` // HTTP requests
}

// Ceilings are an operator's rules for one worker: what a job gets when it
// asks for nothing, and the most it may ask for.
type Ceilings struct {
	Default Amounts
	Max     Amounts
}

// StandardCeilings are the settings of a worker whose operator set none. The
// stack default is Wasmtime's (512 KiB); its maximum stays far below wazero's
// own fixed ceiling of about 80 MiB.
func StandardCeilings() Ceilings {
	return Ceilings{
		Default: Amounts{
			Timeout: Duration(60 * time.Second), Memory: 512 * MiB, Stack: 512 * KiB, Fuel: 1e12,
			Stdout: 1 * MiB, Stderr: 1 * MiB, WrittenBytes: 256 * MiB, Files: 10_000, OpenFiles: 256,
			OutboundBytes: 64 * MiB, OutboundRequests: 100,
		},
		Max: Amounts{
			Timeout: Duration(time.Hour), Memory: 2 * GiB, Stack: 16 * MiB, Fuel: 1e15,
			Stdout: 16 * MiB, Stderr: 16 * MiB, WrittenBytes: 4 * GiB, Files: 100_000, OpenFiles: 1024,
			OutboundBytes: 1 * GiB, OutboundRequests: 10_000,
		},
	}
}

// Grant is what a run gets: every amount explicit and at or below its ceiling.
type Grant struct{ Amounts }

// ExceedsError says that a job asked for more than a worker gives.
type ExceedsError struct {
	Field        string
	Asked, Limit string
}

func (e *ExceedsError) Error() string {
	return fmt.Sprintf("%s: asked for %s, this worker grants at most %s; ask for less, or have the operator raise the ceiling", e.Field, e.Asked, e.Limit)
}

// amountRow ties one amount to its place in a RunOption, so that every amount
// passes through the same rule.
type amountRow struct {
	field string
	ask   func(*RunOption) uint64
	at    func(*Amounts) *uint64
	text  func(uint64) string
}

func inBytes(n uint64) string { return Bytes(n).String() }
func inCount(n uint64) string { return fmt.Sprint(n) }
func inTime(n uint64) string  { return Duration(n).String() }

var amountRows = []amountRow{
	{"wasm_timeout", func(o *RunOption) uint64 { return uint64(o.WasmTimeout) }, func(a *Amounts) *uint64 { return (*uint64)(&a.Timeout) }, inTime},
	{"wasm_max_memory_size", func(o *RunOption) uint64 { return uint64(o.WasmMaxMemorySize) }, func(a *Amounts) *uint64 { return (*uint64)(&a.Memory) }, inBytes},
	{"wasm_max_wasm_stack", func(o *RunOption) uint64 { return uint64(o.WasmMaxWasmStack) }, func(a *Amounts) *uint64 { return (*uint64)(&a.Stack) }, inBytes},
	{"wasm_fuel", func(o *RunOption) uint64 { return o.WasmFuel }, func(a *Amounts) *uint64 { return &a.Fuel }, inCount},
	{"max_stdout", func(o *RunOption) uint64 { return uint64(o.MaxStdout) }, func(a *Amounts) *uint64 { return (*uint64)(&a.Stdout) }, inBytes},
	{"max_stderr", func(o *RunOption) uint64 { return uint64(o.MaxStderr) }, func(a *Amounts) *uint64 { return (*uint64)(&a.Stderr) }, inBytes},
	{"max_written_bytes", func(o *RunOption) uint64 { return uint64(o.MaxWrittenBytes) }, func(a *Amounts) *uint64 { return (*uint64)(&a.WrittenBytes) }, inBytes},
	{"max_files", func(o *RunOption) uint64 { return o.MaxFiles }, func(a *Amounts) *uint64 { return &a.Files }, inCount},
	{"max_open_files", func(o *RunOption) uint64 { return o.MaxOpenFiles }, func(a *Amounts) *uint64 { return &a.OpenFiles }, inCount},
	{"max_outbound_bytes", func(o *RunOption) uint64 { return uint64(o.MaxOutboundBytes) }, func(a *Amounts) *uint64 { return (*uint64)(&a.OutboundBytes) }, inBytes},
	{"max_outbound_requests", func(o *RunOption) uint64 { return o.MaxOutboundRequests }, func(a *Amounts) *uint64 { return &a.OutboundRequests }, inCount},
}

// WithDefaults fills amounts that are zero from StandardCeilings. A maximum
// below the standard default lowers that default with it, so that an operator
// who sets one number gets what it says.
func (c Ceilings) WithDefaults() Ceilings {
	std := StandardCeilings()
	for _, row := range amountRows {
		def, limit := row.at(&c.Default), row.at(&c.Max)
		if *limit == 0 {
			*limit = max(*row.at(&std.Max), *def)
		}
		if *def == 0 {
			*def = min(*row.at(&std.Default), *limit)
		}
	}
	return c
}

// Validate says which default lies above its own maximum.
func (c Ceilings) Validate() error {
	var errs []error
	for _, row := range amountRows {
		if def, limit := *row.at(&c.Default), *row.at(&c.Max); def > limit {
			errs = append(errs, fmt.Errorf("%s: the default %s is above the maximum %s", row.field, row.text(def), row.text(limit)))
		}
	}
	return errors.Join(errs...)
}

// Grant decides what a run with this option gets. A job that asks for more
// than a ceiling is refused with *ExceedsError (joined), never clamped.
func (c Ceilings) Grant(o *RunOption) (Grant, error) {
	var g Grant
	var errs []error
	for _, row := range amountRows {
		asked, limit := row.ask(o), *row.at(&c.Max)
		switch {
		case asked == 0:
			*row.at(&g.Amounts) = *row.at(&c.Default)
		case asked > limit:
			errs = append(errs, &ExceedsError{Field: row.field, Asked: row.text(asked), Limit: row.text(limit)})
		default:
			*row.at(&g.Amounts) = asked
		}
	}
	return g, errors.Join(errs...)
}
