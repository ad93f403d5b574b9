package js

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/dop251/goja"
	"github.com/dop251/goja/parser"

	"boxfleet/toolbox/internal/command"
)

// maxDepth bounds how deeply functions may call each other, as browsers do. It
// is what a program without end in its recursion runs into, not its memory.
const maxDepth = 10_000

// program is one run of the tool.
type program struct {
	vm      *goja.Runtime
	streams command.Streams
	out     *output

	modules  map[string]*goja.Object
	timers   timers
	rejected []*goja.Promise // without a handler so far, in their order
	stdin    func() (string, error)

	// JSON's functions as they were before the program could change them.
	parse, stringify goja.Callable
}

func newProgram(s command.Streams, out *output, args []string) (*program, error) {
	p := &program{vm: goja.New(), streams: s, out: out, modules: make(map[string]*goja.Object), stdin: readOnce(s.In)}
	p.vm.SetParserOptions(parser.WithDisableSourceMaps)
	p.vm.SetMaxCallStackSize(maxDepth)
	p.vm.SetPromiseRejectionTracker(func(promise *goja.Promise, what goja.PromiseRejectionOperation) {
		if what == goja.PromiseRejectionReject {
			p.rejected = append(p.rejected, promise)
		} else {
			p.rejected = slices.DeleteFunc(p.rejected, func(r *goja.Promise) bool { return r == promise })
		}
	})
	functions := p.vm.Get("JSON").ToObject(p.vm)
	var parses, writes bool
	p.parse, parses = goja.AssertFunction(functions.Get("parse"))
	p.stringify, writes = goja.AssertFunction(functions.Get("stringify"))
	if !parses || !writes {
		return nil, errors.New("the engine has no JSON")
	}
	return p, p.define(args)
}

// run runs the program to its end: its text, what waits for promises, its
// timers. Its last value is printed if print is set.
func (p *program) run(name, text string, print bool) error {
	if err := p.vm.Set("require", p.requireFrom(path.Dir(name))); err != nil {
		return err
	}
	value, err := p.vm.RunScript(name, withoutShebang(text))
	if err != nil {
		return explain(err)
	}
	if err := p.timers.run(); err != nil {
		return explain(err)
	}
	promise, isPromise := value.Export().(*goja.Promise)
	if print && isPromise && promise.State() == goja.PromiseStatePending {
		return errors.New("the program's last value is a promise that nothing settles")
	}
	if len(p.rejected) > 0 {
		return fmt.Errorf("a promise was rejected and nobody handled it: %s", p.rejection(p.rejected[0].Result()))
	}
	if !print {
		return nil
	}
	if isPromise {
		value = promise.Result()
	}
	json, err := p.stringify(goja.Undefined(), value)
	if err != nil {
		return explain(err)
	}
	if goja.IsUndefined(json) { // a function, or undefined itself
		p.out.line("null")
	} else {
		p.out.line(json.String())
	}
	return nil
}

// rejection is the text of why a promise was rejected: an error's stack, if it is
// an error.
func (p *program) rejection(reason goja.Value) string {
	if object, ok := reason.(*goja.Object); ok {
		if stack := object.Get("stack"); stack != nil && !goja.IsUndefined(stack) {
			return strings.TrimSuffix(stack.String(), "\n")
		}
	}
	return reason.String()
}

// withoutShebang makes a comment of a first line for the kernel; it keeps the
// line, so that positions in errors stay right.
func withoutShebang(text string) string {
	if strings.HasPrefix(text, "#!") {
		return "//" + text[2:]
	}
	return text
}
