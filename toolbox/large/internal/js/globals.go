package js

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/dop251/goja"
)

// define gives the program what it finds beside the language.
func (p *program) define(args []string) error {
	console := p.vm.NewObject()
	toOut := func(call goja.FunctionCall) goja.Value {
		p.out.line(p.text(call.Arguments))
		return goja.Undefined()
	}
	toErr := func(call goja.FunctionCall) goja.Value {
		io.WriteString(p.streams.Err, p.text(call.Arguments)+"\n")
		return goja.Undefined()
	}
	list := make([]any, len(args))
	for i, arg := range args {
		list[i] = arg
	}
	return errors.Join(
		console.Set("log", toOut), console.Set("info", toOut), console.Set("debug", toOut),
		console.Set("error", toErr), console.Set("warn", toErr),
		p.vm.Set("console", console),
		p.vm.Set("args", p.vm.NewArray(list...)),
		p.vm.GlobalObject().DefineAccessorProperty("input", p.vm.ToValue(p.input), nil, goja.FLAG_TRUE, goja.FLAG_TRUE),
		p.vm.Set("stdin", p.stdin),
		p.vm.Set("read", p.read),
		p.vm.Set("write", p.write),
		p.vm.Set("exit", func(code int) { p.vm.Interrupt(exitCode(code & 0xff)) }),
		p.vm.Set("setTimeout", p.setTimeout),
		p.vm.Set("clearTimeout", p.timers.clear),
	)
}

// text is how console prints values: strings as they are, objects as JSON.
func (p *program) text(values []goja.Value) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(p.textOf(v))
	}
	return b.String()
}

func (p *program) textOf(v goja.Value) string {
	object, ok := v.(*goja.Object)
	if !ok {
		return v.String()
	}
	if object.ClassName() == "Error" {
		return p.rejection(v)
	}
	if _, callable := goja.AssertFunction(v); !callable {
		// What JSON cannot say, such as a circle, has a name at least.
		if json, err := p.stringify(goja.Undefined(), v); err == nil && !goja.IsUndefined(json) {
			return json.String()
		}
	}
	return v.String()
}

// input is standard input as a JSON value, read when it is first asked for.
func (p *program) input(goja.FunctionCall) goja.Value {
	text, err := p.stdin()
	if err != nil {
		panic(p.vm.NewGoError(err))
	}
	if !json.Valid([]byte(text)) {
		panic(p.vm.NewTypeError("input: standard input is not one JSON value"))
	}
	value, err := p.parse(goja.Undefined(), p.vm.ToValue(text))
	if err != nil {
		panic(err)
	}
	if err := p.vm.GlobalObject().DefineDataProperty("input", value, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE); err != nil {
		panic(err)
	}
	return value
}

func readOnce(from io.Reader) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		data, err := io.ReadAll(from)
		return string(data), err
	})
}

func (p *program) read(name string) (string, error) {
	data, err := os.ReadFile(p.streams.Path(name))
	return string(data), err
}

func (p *program) write(name, text string) error {
	return os.WriteFile(p.streams.Path(name), []byte(text), 0o644)
}

// requireFrom is require for a file in dir: names that start with ./ or ../ are
// relative to it.
func (p *program) requireFrom(dir string) func(name string) (goja.Value, error) {
	return func(name string) (goja.Value, error) {
		if !path.IsAbs(name) && !strings.HasPrefix(name, "./") && !strings.HasPrefix(name, "../") {
			return nil, fmt.Errorf("require(%q): there are no modules but files; write a path such as ./%s", name, name)
		}
		at := name
		if !path.IsAbs(at) {
			at = path.Join(dir, name)
		}
		if module, ok := p.modules[at]; ok { // perhaps half done, when files require each other
			return module.Get("exports"), nil
		}
		text, err := p.read(at)
		if err != nil {
			return nil, err
		}
		return p.load(at, text)
	}
}

func (p *program) load(at, text string) (goja.Value, error) {
	module := p.vm.NewObject()
	exports := p.vm.NewObject()
	if err := module.Set("exports", exports); err != nil {
		return nil, err
	}
	p.modules[at] = module
	value, err := p.evaluate(at, text, module, exports)
	if err != nil {
		delete(p.modules, at)
	}
	return value, err
}

func (p *program) evaluate(at, text string, module, exports *goja.Object) (goja.Value, error) {
	if path.Ext(at) == ".json" {
		value, err := p.parse(goja.Undefined(), p.vm.ToValue(text))
		if err != nil {
			return nil, err
		}
		return value, module.Set("exports", value)
	}
	// One line with the text's first, so that positions in errors stay right.
	wrapped, err := p.vm.RunScript(at, "(function (exports, require, module, __filename, __dirname) { "+withoutShebang(text)+"\n})")
	if err != nil {
		return nil, err
	}
	call, ok := goja.AssertFunction(wrapped)
	if !ok {
		return nil, fmt.Errorf("%s is not the inside of a function", at)
	}
	dir := path.Dir(at)
	_, err = call(exports, exports, p.vm.ToValue(p.requireFrom(dir)), module, p.vm.ToValue(at), p.vm.ToValue(dir))
	return module.Get("exports"), err
}
