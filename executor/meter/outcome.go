package meter

import (
	"errors"
	"runtime"
	"strings"

	"github.com/tetratelabs/wazero/sys"
)

// Kind says how a run ended.
type Kind string

// The kinds of an [Outcome]. The four reasons of a StopError are kinds too.
const (
	Succeeded     Kind = "succeeded"
	Exited        Kind = "exited" // with a code other than zero
	Trapped       Kind = "trapped"
	OutOfMemory   Kind = "out_of_memory" // the initial size is over the limit
	HostPanic     Kind = "host_panic"    // a host function broke: our fault, not the guest's
	Unclassified  Kind = "unclassified"  // an error that does not come from running a guest
	KindOutOfFuel      = Kind(OutOfFuel)
	KindTimedOut       = Kind(TimedOut)
	KindCanceled       = Kind(Canceled)
	KindOverflow       = Kind(StackOverflow)
)

// Trap is the kind of a trap, in the words of the WebAssembly test suite.
type Trap string

// The traps.
const (
	TrapUnreachable       Trap = "unreachable"
	TrapMemoryBounds      Trap = "out of bounds memory access"
	TrapTable             Trap = "invalid table access"
	TrapIndirectType      Trap = "indirect call type mismatch"
	TrapDivideByZero      Trap = "integer divide by zero"
	TrapIntegerOverflow   Trap = "integer overflow"
	TrapInvalidConversion Trap = "invalid conversion to integer"
)

// wazero keeps the type of its trap errors internal, so they are told by
// their text. A test provokes each of them.
var traps = map[string]Trap{
	string(TrapUnreachable):       TrapUnreachable,
	string(TrapMemoryBounds):      TrapMemoryBounds,
	string(TrapTable):             TrapTable,
	string(TrapIndirectType):      TrapIndirectType,
	string(TrapDivideByZero):      TrapDivideByZero,
	string(TrapIntegerOverflow):   TrapIntegerOverflow,
	string(TrapInvalidConversion): TrapInvalidConversion,
}

const engineStackOverflow = "stack overflow"

// Outcome is how a run ended.
type Outcome struct {
	Kind     Kind
	ExitCode uint32   // if Kind is Exited
	Trap     Trap     // if Kind is Trapped
	Stack    []string // wasm functions from the innermost on, if known; at most 30
	Err      error    // what was classified; nil if Succeeded
}

// Classify says how a run ended from the error of instantiating the module or
// of calling it. A run that finished but used more fuel than its budget since
// the last check is out of fuel: whether a budget suffices never depends on
// where checks are.
func Classify(err error, m *Meter) Outcome {
	o := Outcome{Err: err}
	var (
		stop    *StopError
		oom     *OutOfMemoryError
		exit    *sys.ExitError
		runtime runtime.Error
	)
	finished := false
	switch {
	case err == nil:
		o.Kind, finished = Succeeded, true
	case errors.As(err, &stop):
		o.Kind = Kind(stop.Reason)
	case errors.As(err, &oom):
		o.Kind = OutOfMemory
	case errors.As(err, &exit):
		finished = true
		if o.Kind, o.ExitCode = Exited, exit.ExitCode(); o.ExitCode == 0 {
			o.Kind, o.Err = Succeeded, nil
		}
	case errors.As(err, &runtime):
		o.Kind = HostPanic
	default:
		o.Kind = Unclassified
		text := innermost(err).Error()
		if trap, ok := traps[text]; ok {
			o.Kind, o.Trap = Trapped, trap
		} else if text == engineStackOverflow {
			o.Kind = KindOverflow
		} else if strings.Contains(err.Error(), "(recovered by wazero)") {
			o.Kind = HostPanic
		}
	}
	if finished && m != nil && m.FuelConsumed() > m.limits.Fuel {
		o.Kind, o.ExitCode = KindOutOfFuel, 0
		o.Err = &StopError{Reason: OutOfFuel, text: "out of fuel: the run finished but used more than its budget"}
	}
	if err != nil {
		o.Stack = frames(err.Error())
	}
	return o
}

func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// frames reads the functions' names from the stack trace that wazero puts into
// the text of an error.
func frames(text string) []string {
	_, trace, ok := strings.Cut(text, "wasm stack trace:\n\t")
	if !ok {
		return nil
	}
	var names []string
	for _, line := range strings.Split(trace, "\n\t") {
		line, _, _ = strings.Cut(line, "\n")
		if line == "" || strings.HasPrefix(line, "\t") || strings.HasPrefix(line, "...") {
			continue
		}
		// name(params) result, or name(params) (results); names may hold
		// parentheses themselves.
		if i := strings.LastIndex(line, ") ("); i >= 0 && strings.HasSuffix(line, ")") {
			line = line[:i+1]
		}
		if i := strings.LastIndexByte(line, '('); i > 0 {
			line = line[:i]
		}
		names = append(names, strings.TrimSpace(line))
	}
	return names
}
