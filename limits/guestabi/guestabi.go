// Package guestabi lists the functions a boxfleet host gives to guests. The
// client asks it before a tool is registered and the worker before a module is
// compiled, so that both name the same imports with the same words.
//
// It checks names and versions. Whether a module's signature fits is for the
// engine to say; the signatures of WASI 0.2 are kept here for the host's tests.
package guestabi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"boxfleet/limits/metering"
)

// Preview1 is the import module of WASI 0.1, "snapshot preview 1".
const Preview1 = "wasi_snapshot_preview1"

// preview1 are the functions of WASI 0.1 (the witx file
// wasi_snapshot_preview1 of the WebAssembly/WASI repository, phase snapshot).
var preview1 = set(
	"args_get", "args_sizes_get", "clock_res_get", "clock_time_get",
	"environ_get", "environ_sizes_get",
	"fd_advise", "fd_allocate", "fd_close", "fd_datasync", "fd_fdstat_get",
	"fd_fdstat_set_flags", "fd_fdstat_set_rights", "fd_filestat_get",
	"fd_filestat_set_size", "fd_filestat_set_times", "fd_pread",
	"fd_prestat_dir_name", "fd_prestat_get", "fd_pwrite", "fd_read",
	"fd_readdir", "fd_renumber", "fd_seek", "fd_sync", "fd_tell", "fd_write",
	"path_create_directory", "path_filestat_get", "path_filestat_set_times",
	"path_link", "path_open", "path_readlink", "path_remove_directory",
	"path_rename", "path_symlink", "path_unlink_file",
	"poll_oneoff", "proc_exit", "proc_raise", "random_get", "sched_yield",
	"sock_accept", "sock_recv", "sock_send", "sock_shutdown",
)

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// ImportError names one import that no host gives, and why.
type ImportError struct {
	Module, Name string
	Reason       string
}

func (e *ImportError) Error() string {
	return fmt.Sprintf("import %s.%s: %s", Quote(e.Module), Quote(e.Name), e.Reason)
}

// maxQuoted is how many bytes of a name are told; a module may have names of
// any length, and errors travel in messages.
const maxQuoted = 200

// Quote gives a name in quotes, a long one cut.
func Quote(name string) string {
	if len(name) > maxQuoted {
		return strconv.Quote(name[:maxQuoted]) + "..."
	}
	return strconv.Quote(name)
}

// Check gives the reason why an import cannot be satisfied, or nil.
func Check(imp metering.Import) *ImportError {
	refuse := func(format string, args ...any) *ImportError {
		return &ImportError{Module: imp.Module, Name: imp.Name, Reason: fmt.Sprintf(format, args...)}
	}
	if imp.Kind != metering.KindFunc {
		return refuse("a %s cannot be imported, only functions; link the module without --import-%s", imp.Kind, imp.Kind)
	}
	switch {
	case imp.Module == Preview1:
		if !preview1[imp.Name] {
			return refuse("WASI 0.1 has no such function")
		}
		return nil
	case imp.Module == "wasi_unstable":
		return refuse("this is WASI from before snapshot preview 1; rebuild with a newer toolchain")
	case imp.Module == "wasi" && imp.Name == "thread-spawn":
		return refuse("guests have no threads; build without them")
	case imp.Module == "env":
		return refuse("no host gives module env; Emscripten output needs -sSTANDALONE_WASM, others have an undefined symbol")
	case strings.HasPrefix(imp.Module, "wasi:"):
		return checkInterface(imp, refuse)
	}
	return refuse("no host gives this module; guests get WASI 0.1 and the lowered functions of wasi:http 0.2")
}

func checkInterface(imp metering.Import, refuse func(string, ...any) *ImportError) *ImportError {
	name, version := SplitVersion(imp.Module)
	if version == "" {
		return refuse("an interface needs a version, such as %s@0.2.0", imp.Module)
	}
	functions := interfaces[name]
	if functions == nil {
		return refuse("no host gives this interface; given are those of wasi:cli, clocks, filesystem, http, io, random and (to be refused) sockets")
	}
	if !Compatible(version) {
		return refuse("%s", VersionReason(version))
	}
	if functions[imp.Name] == "" {
		return refuse("this interface has no such function in WASI 0.2")
	}
	return nil
}

// Refused lists every import of a module that no host gives, in the module's
// order.
func Refused(imports []metering.Import) []*ImportError {
	var out []*ImportError
	for _, imp := range imports {
		if e := Check(imp); e != nil {
			out = append(out, e)
		}
	}
	return out
}

// Modules lists the import modules in use, sorted, each once.
func Modules(imports []metering.Import) []string {
	var out []string
	for _, imp := range imports {
		if !slices.Contains(out, imp.Module) {
			out = append(out, imp.Module)
		}
	}
	slices.Sort(out)
	return out
}
