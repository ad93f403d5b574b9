// Package executor runs one attempt of a job in a sandbox of its own.
//
// Executor.Run is the life of an attempt from top to bottom: grant, fetch the
// module, compile it (or find it compiled), stage the inputs, instantiate, run,
// collect and upload. Executor.Commit publishes the outputs behind the second
// fence. The queue side (package jobs) calls both.
//
// A guest reaches the host only through host modules that live below this
// package: meter (fuel, deadline, stack, memory), wasip1 over sandboxfs (files,
// clocks, random numbers) and wasihttp over outbound (the network; and, for
// programs that speak WASI 0.2 alone, files and the rest over sandboxfs). Of a
// component only the main module runs (package limits/component). Nothing of
// the worker's own environment, files or network is in reach by default.
//
// Instances share nothing. One wazero runtime and one compiled module serve
// any number of them.
package executor
