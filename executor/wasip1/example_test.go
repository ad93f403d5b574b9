package wasip1_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/sys"

	"boxfleet/executor/wasip1"
)

// One runtime serves many guests, each with a System of its own.
func Example() {
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	if err := wasip1.Register(ctx, rt); err != nil {
		panic(err)
	}
	wasm, err := os.ReadFile("../testdata/hostile/fs/sleep-hour.wasm")
	if err != nil {
		panic(err)
	}
	guest, err := rt.CompileModule(ctx, wasm)
	if err != nil {
		panic(err)
	}

	s, err := wasip1.New(wasip1.Config{
		Args:   []string{"sleeper"},
		Stdout: os.Stdout,
		Clock:  wasip1.FixedClock(time.Unix(0, 0)), // its hour takes no time
		Rand:   wasip1.SeededRand(1),
	})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	_, err = rt.InstantiateModule(s.Context(ctx), guest, wazero.NewModuleConfig().WithName(""))
	var exit *sys.ExitError
	fmt.Println("exited by itself:", err == nil || errors.As(err, &exit))
	fmt.Println("host calls:", s.Calls())
	// Output:
	// asleep
	// awake
	// exited by itself: true
	// host calls: 3
}
