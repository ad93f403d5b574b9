// Package wasip1 is a host of WASI preview 1 for wazero: the module
// "wasi_snapshot_preview1" with all of its functions, over package sandboxfs.
//
// Register installs the module once per runtime. What a guest sees (arguments,
// environment, files, streams, clocks, random numbers) is a System, made per run
// by New and carried to the host functions by the context of the call:
//
//	sys, err := wasip1.New(wasip1.Config{Args: []string{"tool"}, FS: fs, Stdout: out})
//	...
//	ctx = sys.Context(ctx)
//	mod, err := rt.InstantiateModule(ctx, compiled, config)
//
// # What it guarantees
//
//   - Every host call asks Config.Interrupt first, and the calls that can block
//     (poll_oneoff, reading from stdin) end when it is done. The error of
//     Interrupter.Check is what the guest's call fails with; errors.As finds it.
//   - Rights are enforced: a descriptor never has more than the one it was
//     opened from hands down, and cannot get back what it gave up.
//   - No pointer, length, count or cookie of a guest reads or writes anything
//     but the guest's own memory, nor makes the host allocate in proportion to it.
//   - A guest's mistake is an errno, never a panic of the host; a panic in a host
//     function would end the guest's call alone.
//
// A System belongs to one instance and is used by one goroutine at a time.
package wasip1
