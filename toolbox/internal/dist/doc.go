// Package dist turns the toolbox's sources into the wasm modules that the fleet
// runs: one dist/NAME.wasm for every cmd/NAME (Go, GOOS=wasip1 GOARCH=wasm) and
// one for every wat/NAME.wasm (hand-written, built beforehand and kept in the
// tree beside its text).
//
// A caller may add tools that it makes itself, and several modules may build into
// one folder, each a set of tools of its own.
//
// The build programs and the toolbox's tests call it. A tool is rebuilt only when
// something that goes into it changed: its key is a digest of the Go version,
// the flags, the versions of the foreign modules and the content of the
// toolbox's own files among its dependencies. A module appears in dist by
// rename, so a reader sees the old one or the new one and never a half.
//
// The same sources and the same Go version give the same bytes on every
// machine: paths and version-control stamps stay out. A tool's digest in the
// registry therefore changes only when the tool does.
package dist
