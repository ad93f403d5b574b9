// Package sandboxfs is the file-system jail a guest lives in: a few host
// directories mounted at absolute guest paths, with a mode per mount and a
// quota over all of them.
//
// It knows nothing of WebAssembly. package wasip1 serves WASI preview 1 on
// top of it; other hosts may use it on its own.
//
// # What it guarantees
//
//   - No path, symbolic link, hard link, rename, "..", trailing slash, create
//     through a dangling link or race with another process reaches anything
//     outside the mounted directories. A path is resolved by the kernel
//     (openat2 with RESOLVE_BENEATH) or, where the kernel lacks it or a nested
//     mount may lie on the way, by a walk of this package that opens one
//     component at a time, follows links itself and never opens "..".
//   - A path never leaves the directory it is relative to, not only the mount:
//     a guest that is handed a descriptor of a subdirectory cannot climb out of it.
//   - A read-only mount refuses every change with EROFS, and reading from it
//     does not touch access times where the worker owns the files.
//   - Only regular files and directories are opened. Devices, FIFOs and sockets
//     are listed and can be removed, but opening one is EACCES, found out
//     without opening it.
//   - Files are created 0600 and directories 0700, and set-id and execute bits
//     are dropped from a file when it is opened for writing.
//   - Every amount is capped by a Quota; zero means the documented default.
//   - Host mounts below a mounted directory are not entered.
//
// Mounts nest: with "/" and "/data" mounted, "data/x" relative to the root of
// the first reaches the second. The directory a mount covers is made in the
// mount above it if it is missing, as a mount point has to exist.
//
// # Concurrency
//
// An FS belongs to one guest and is used by one goroutine at a time, as a wasm
// instance is. Usage and LimitHit may be called from any goroutine. Several FS
// may share one host directory.
//
// # Errors
//
// Operations fail with a syscall.Errno. A path that would escape is EPERM;
// crossing mounts by rename or link is EXDEV; a spent quota is ENOSPC (bytes),
// EDQUOT (files, depth), EMFILE (descriptors), EOVERFLOW (directory entries)
// or ENAMETOOLONG (names).
package sandboxfs
