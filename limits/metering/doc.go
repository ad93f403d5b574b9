// Package metering rewrites WebAssembly modules so that any engine running
// them counts fuel, can stop them and bounds their stack. It knows no engine
// and depends on the standard library alone.
//
// # What is injected
//
// Two mutable i64 globals are appended to the module: the rest of the current
// fuel slice and the rest of the stack allowance. One host function is
// imported, [HostModule].[HostFunction], which the code calls when either is
// used up:
//
//	meter(op i32, value i64) -> i64
//
// The op constants ([OpRefill] and the others) describe what each call asks
// and what the host answers. Package executor/meter is the host side for
// wazero.
//
// # How fuel is counted
//
// The amounts are those of Wasmtime: one for every function entry and every
// operator executed, none for nop, drop, block, loop, unreachable, return,
// else and end. Amounts are added up while the body is read and taken from the
// global where control leaves a straight line; the fuel is compared with zero
// at the entry of functions and loops only, and at least once in every
// [checkDistance] operators. Both globals start at zero, so the first check of
// an instance asks the host, and start functions are metered like all others.
//
// The count is exact at every check, at every call and when the module has
// finished. After a trap in the middle of a straight line it is a fixed number
// of operators away from the exact one: that number is a constant of the place
// where the trap happened, so the count is the same on every machine and for
// every slice size. [Config.PreciseTraps] removes the difference for the price
// of a global update before every operator that can trap.
//
// # What is guaranteed
//
// Rewrite refuses a module whose indices do not fit before it adds anything,
// so no original instruction can reach what is injected: not by an index one
// past the end, not by importing [HostModule], not by bytes that two decoders
// read in two ways. A valid module stays valid and computes the same. Type
// checking is left to the engine that compiles the result.
//
// Counts in the binary are never trusted further than the bytes behind them.
// Reading a function takes up to 64 bytes for each byte of the largest body,
// which MaxFunctionBytes bounds; everything else is a small multiple of the
// input.
package metering
