package toolbox

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"boxfleet/toolbox/internal/dist"
	"boxfleet/toolbox/internal/guest"
	"boxfleet/toolbox/internal/manifest"
)

var (
	runner    *guest.Runner
	manifests []*manifest.Manifest
)

// TestMain brings dist up to date first, so that what is tested is what the
// sources say.
func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx := context.Background()
	if _, err := dist.Build(ctx, dist.Config{Dir: "."}); err != nil {
		fmt.Fprintln(os.Stderr, "build the toolbox:", err)
		return 1
	}
	var err error
	if manifests, err = manifest.LoadAll("."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if runner, err = guest.NewRunner(ctx, "dist"); err != nil {
		fmt.Fprintln(os.Stderr, "start wazero:", err)
		return 1
	}
	defer runner.Close(ctx)
	return m.Run()
}
