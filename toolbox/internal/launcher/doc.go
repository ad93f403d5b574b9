// Package launcher gives an interpreter that was compiled to WebAssembly by
// others the toolbox's way of being called: `--command=`, `--file=`, `--module=`,
// `--arg=` and `--help`, which is all that a caller with JSON input can say. The
// interpreter's own command line goes on working.
//
// It does so in the module, which nothing else can: the fleet passes arguments
// as they are, and an interpreter such as CPython refuses a long option it does
// not know before any of its own code could run. [Patch] appends the two
// functions of launcher.wat and has the module's start call them instead of
// WASI's args_sizes_get and args_get. What they do is written at the head of
// that file; launcher.wasm is built from it (`make wat`).
//
// [Patch] knows one shape of module: a wasi-libc program whose start calls each
// of the two functions once. It refuses every other.
package launcher
