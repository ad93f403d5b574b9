// Package component finds the program in a WASI 0.2 component.
//
// A component (the WebAssembly Component Model's binary format) holds core
// modules and says how they are wired together. What compilers make of a
// command-line program is always the same shape: one main module with the
// program, and small modules around it that only translate. There are two:
//
//   - main + preview-1 adapter + shim + fixup. The program was compiled for
//     WASI 0.1 and imports wasi_snapshot_preview1; the adapter turns those
//     calls into WASI 0.2. Its own imports of WASI 0.2 (wasi:http and others)
//     are lowered straight to it.
//   - main + shim + fixup, for a program compiled for WASI 0.2. It exports
//     wasi:cli/run itself.
//
// The host of this project gives both WASI 0.1 and the lowered functions of
// WASI 0.2 to core modules, so the main module runs as it is and the rest is
// not needed. Inspect finds it and proves that leaving out the rest changes
// nothing: each import of the main module is followed through instances,
// aliases, shim and fixup to the adapter's function of that name, or to the
// lowering of the function of that name of an imported wasi: interface. Names
// alone prove nothing, as whoever writes a component chooses them.
//
// Everything else (components made of components, several programs, servers,
// libraries, virtualised imports, WASI 0.3) is refused with what is in the way.
//
// Nothing here runs or compiles anything. Input is hostile: every read is
// bounds-checked, counts are checked against the bytes left before anything is
// allocated, nesting is capped, and the time is linear in the size.
//
// The client calls Inspect before a component is pushed, the worker after its
// digest was verified and before metering. A tool's digest is the component's.
package component
