package metering

import (
	"fmt"
	"strings"
)

// ValueType is the binary code of a value type.
type ValueType byte

// The value types that are supported.
const (
	I32       ValueType = 0x7f
	I64       ValueType = 0x7e
	F32       ValueType = 0x7d
	F64       ValueType = 0x7c
	V128      ValueType = 0x7b
	FuncRef   ValueType = 0x70
	ExternRef ValueType = 0x6f
)

func (t ValueType) String() string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	}
	return fmt.Sprintf("%#x", byte(t))
}

// FuncType is the signature of a function.
type FuncType struct {
	Params, Results []ValueType
}

// String writes the signature as "(i32 i64) -> (i32)".
func (t FuncType) String() string {
	list := func(ts []ValueType) string {
		s := make([]string, len(ts))
		for i, t := range ts {
			s[i] = t.String()
		}
		return "(" + strings.Join(s, " ") + ")"
	}
	return list(t.Params) + " -> " + list(t.Results)
}

// Kind is what an import or export is.
type Kind byte

// The kinds, by their binary codes.
const (
	KindFunc   Kind = 0
	KindTable  Kind = 1
	KindMemory Kind = 2
	KindGlobal Kind = 3
)

func (k Kind) String() string {
	switch k {
	case KindFunc:
		return "func"
	case KindTable:
		return "table"
	case KindMemory:
		return "memory"
	case KindGlobal:
		return "global"
	}
	return fmt.Sprintf("%#x", byte(k))
}

// Limits are the sizes of a memory (in pages of 64 KiB) or table (in
// elements). Max is meaningful if HasMax.
type Limits struct {
	Min, Max uint32
	HasMax   bool
}

// Import is one import of a module.
type Import struct {
	Module, Name string
	Kind         Kind
	Func         FuncType  // if Kind is KindFunc
	Limits       Limits    // if Kind is KindTable or KindMemory
	Type         ValueType // of the table's elements or of the global
	Mutable      bool      // if Kind is KindGlobal
}

// Export is one export of a module. Index counts imports first, as in the
// binary format.
type Export struct {
	Name  string
	Kind  Kind
	Index uint32
}

// Memory is a memory that the module defines or imports.
type Memory struct {
	Limits
	Imported bool
}

// Table is a table that the module defines or imports.
type Table struct {
	Limits
	Type     ValueType
	Imported bool
}

// CustomSection names a custom section and its size in bytes.
type CustomSection struct {
	Name string
	Size int
}

// PageSize is the size of a page of linear memory in bytes.
const PageSize = 1 << 16
