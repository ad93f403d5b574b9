package metering_test

import (
	"strings"
	"testing"

	"boxfleet/limits/metering"
)

// sample is a module with a bit of everything that Info shows, written by
// hand so that every number can be checked: an imported function, a memory of
// two pages of at most four, a table of three, one function named "main" that
// is exported as _start, a data segment of five bytes, a debug section.
const sample = "\x00asm\x01\x00\x00\x00" +
	"\x01\x09\x02\x60\x01\x7f\x01\x7e\x60\x00\x00" + // (i32) -> (i64), () -> ()
	"\x02\x09\x01\x03env\x01f\x00\x00" +
	"\x03\x02\x01\x01" +
	"\x04\x04\x01\x70\x00\x03" +
	"\x05\x04\x01\x01\x02\x04" +
	"\x07\x0a\x01\x06_start\x00\x01" +
	"\x0a\x04\x01\x02\x00\x0b" +
	"\x0b\x0b\x01\x00\x41\x08\x0b\x05hello" +
	"\x00\x17\x04name\x00\x04\x03app\x01\x0a\x02\x00\x01f\x01\x04main" +
	"\x00\x0f\x0b.debug_info123"

func TestInspect(t *testing.T) {
	i, err := metering.Inspect([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	if i.Functions != 1 || i.MinMemory() != 2*metering.PageSize || i.MinTableElements() != 3 ||
		i.DataBytes != 5 || i.DataSegments != 1 || i.ModuleName != "app" || !i.IsCommand() || i.HasStart {
		t.Errorf("%+v", i)
	}
	if len(i.Imports) != 1 || i.Imports[0].Module != "env" || i.Imports[0].Func.String() != "(i32) -> (i64)" {
		t.Errorf("imports %+v", i.Imports)
	}
	if i.DebugBytes != 15 || len(i.Custom) != 2 {
		t.Errorf("debug %d, custom %v", i.DebugBytes, i.Custom)
	}
	if names := i.FunctionNames(); names[0] != "f" || names[1] != "main" || len(names) != 2 {
		t.Errorf("names %v", names)
	}
}

// TestNamesAndSections looks at what becomes of names, tables and debug
// sections by reading the result once more without the import.
func TestNamesAndSections(t *testing.T) {
	m, err := metering.Rewrite([]byte(sample), metering.Config{MaxTableElements: 100})
	if err != nil {
		t.Fatal(err)
	}
	out := strings.Replace(string(m.Wasm), metering.HostModule, strings.Repeat("x", len(metering.HostModule)), 1)
	i, err := metering.Inspect([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	if names := i.FunctionNames(); names[0] != "f" || names[2] != "main" {
		t.Errorf("names %v: the defined function moved by one", names)
	}
	if i.DebugBytes != 0 || len(i.Custom) != 1 {
		t.Errorf("custom sections %v", i.Custom)
	}
	if table := i.Tables[0]; !table.HasMax || table.Max != 100 {
		t.Errorf("table %+v", table)
	}
	if e, ok := i.Export("_start"); !ok || e.Index != 2 || len(i.Exports) != 1 {
		t.Errorf("exports %v", i.Exports)
	}
	var report strings.Builder
	if err := m.WriteReport(&report); err != nil || !strings.Contains(report.String(), "131072 bytes at the start, at most 262144") {
		t.Errorf("report:\n%s%v", report.String(), err)
	}
}

func TestConfigKey(t *testing.T) {
	seen := map[string]metering.Config{}
	for _, c := range []metering.Config{
		{}, {DataGap: -1}, {DataGap: 9}, {KeepCustom: true}, {PreciseTraps: true}, {MaxTableElements: 5},
		{MaxModuleBytes: 5}, {MaxFunctionBytes: 5}, {MaxFunctionLocals: 5}, {MaxLocals: 5},
	} {
		if other, ok := seen[c.Key()]; ok {
			t.Errorf("%+v and %+v have the key %q", c, other, c.Key())
		}
		seen[c.Key()] = c
	}
	if (metering.Config{}).Key() != (metering.Config{DataGap: 4096}).Key() {
		t.Error("the default named differs from the default meant")
	}
}
