package guest

import (
	"bytes"
	"testing"

	"boxfleet/limits/metering"
)

// The metering's own validator reads every module, as a worker does before it
// compiles one.
func TestModulesAreCommands(t *testing.T) {
	t.Parallel()
	for name, wasm := range map[string][]byte{
		"noop": Noop, "work": Work, "padded": Padded(250 << 10), "padded little": Padded(3),
		"tagged": Tagged(Work, "one"), "code": Code(2000, 7, "text"), "one function": Code(1, 0, ""),
	} {
		info, err := metering.Inspect(wasm)
		if err != nil || !info.IsCommand() {
			t.Errorf("%s: %v; want a module with _start", name, err)
		}
	}
	if n := len(Padded(250 << 10)); n < 250<<10 || n > 251<<10 {
		t.Errorf("the padded module has %d bytes", n)
	}
	if n := len(Code(2000, 1, "text")); n < 200<<10 || n > 300<<10 {
		t.Errorf("the module of 2,000 functions has %d bytes", n)
	}
	if bytes.Equal(Code(10, 1, "text"), Code(10, 2, "text")) || bytes.Equal(Tagged(Noop, "a"), Tagged(Noop, "b")) {
		t.Error("modules of other seeds or tags are equal")
	}
}
