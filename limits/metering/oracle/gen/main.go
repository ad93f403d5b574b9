// Command gen writes the random modules of package wasmgen into a directory,
// for the oracle to count their fuel: gen DIR COUNT.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"boxfleet/limits/metering/internal/wasmgen"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen DIR COUNT")
		return 2
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		return 2
	}
	for seed := range n {
		m := wasmgen.New(uint64(seed), wasmgen.Size(seed))
		name := filepath.Join(args[0], fmt.Sprintf("random.%d.wasm", seed))
		if err := os.WriteFile(name, m.Wasm, 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "gen:", err)
			return 1
		}
	}
	return 0
}
