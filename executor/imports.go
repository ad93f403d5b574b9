package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"boxfleet/limits/guestabi"
	"boxfleet/limits/metering"
)

// maxReasons bounds how many imports an error names: it goes into the result.
const maxReasons = 50

// checkModule refuses a module that cannot run as a command here: it asks for
// what no host module gives (each import is named), or has no start function.
func checkModule(info *metering.Info, start string) error {
	var errs []error
	for i, e := range guestabi.Refused(info.Imports) {
		if i == maxReasons {
			errs = append(errs, errors.New("and more imports"))
			break
		}
		errs = append(errs, e)
	}
	if e, ok := info.Export(start); !ok || e.Kind != metering.KindFunc {
		errs = append(errs, fmt.Errorf("it exports no function %s: a command is wanted, not a library (reactor)", start))
	}
	return errors.Join(errs...)
}

// checkStart refuses a start function that takes or gives what no command does:
// _start neither takes nor gives anything; wasi:cli/run gives 0 or 1.
func checkStart(compiled wazero.CompiledModule, start string) error {
	f := compiled.ExportedFunctions()[start]
	if f == nil {
		return fmt.Errorf("it exports no function %s", start)
	}
	var want []api.ValueType
	if start != "_start" && start != "_initialize" {
		want = []api.ValueType{api.ValueTypeI32}
	}
	if len(f.ParamTypes()) > 0 || !slices.Equal(f.ResultTypes(), want) {
		return fmt.Errorf("its start function %s takes %d values and gives %d; commands take none and give %d (an i32 if any)",
			start, len(f.ParamTypes()), len(f.ResultTypes()), len(want))
	}
	return nil
}

// start runs the program of an instance.
func (m *module) start(ctx context.Context, inst api.Module) error {
	for _, name := range m.starts {
		results, err := inst.ExportedFunction(name).Call(ctx)
		if err != nil {
			return err
		}
		// wasi:cli/run says with 1 that it failed, and has no exit code.
		if len(results) == 1 && uint32(results[0]) != 0 {
			return sys.NewExitError(1)
		}
	}
	return nil
}
