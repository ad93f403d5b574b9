package metering

// Operator codes that are treated one by one (WebAssembly 3.0, section 5.4).
const (
	opUnreachable        = 0x00
	opNop                = 0x01
	opBlock              = 0x02
	opLoop               = 0x03
	opIf                 = 0x04
	opElse               = 0x05
	opEnd                = 0x0b
	opBr                 = 0x0c
	opBrIf               = 0x0d
	opBrTable            = 0x0e
	opReturn             = 0x0f
	opCall               = 0x10
	opCallIndirect       = 0x11
	opReturnCall         = 0x12
	opReturnCallIndirect = 0x13
	opDrop               = 0x1a
	opSelect             = 0x1b
	opSelectTyped        = 0x1c
	opLocalGet           = 0x20
	opLocalSet           = 0x21
	opLocalTee           = 0x22
	opGlobalGet          = 0x23
	opGlobalSet          = 0x24
	opTableGet           = 0x25
	opTableSet           = 0x26
	opI32Load            = 0x28
	opI64Store32         = 0x3e
	opMemorySize         = 0x3f
	opMemoryGrow         = 0x40
	opI32Const           = 0x41
	opI64Const           = 0x42
	opF32Const           = 0x43
	opF64Const           = 0x44
	opI32Eqz             = 0x45
	opI32LeU             = 0x4d
	opI32GtU             = 0x4b
	opI64LtS             = 0x53
	opI64GtS             = 0x55
	opI64GtU             = 0x56
	opI64GeS             = 0x59
	opI32Add             = 0x6a
	opI32Sub             = 0x6b
	opI32Mul             = 0x6c
	opI32DivS            = 0x6d
	opI32RemU            = 0x70
	opI64Add             = 0x7c
	opI64Sub             = 0x7d
	opI64Mul             = 0x7e
	opI64DivS            = 0x7f
	opI64RemU            = 0x82
	opI64Shl             = 0x86
	opI64ExtendI32U      = 0xad
	opI32WrapI64         = 0xa7
	opRefNull            = 0xd0
	opRefIsNull          = 0xd1
	opRefFunc            = 0xd2
	opGCPrefix           = 0xfb
	opMiscPrefix         = 0xfc
	opVecPrefix          = 0xfd
	opAtomicPrefix       = 0xfe
)

// Operators behind opMiscPrefix.
const (
	miscMemoryInit = 8
	miscDataDrop   = 9
	miscMemoryCopy = 10
	miscMemoryFill = 11
	miscTableInit  = 12
	miscElemDrop   = 13
	miscTableCopy  = 14
	miscTableGrow  = 15
	miscTableSize  = 16
	miscTableFill  = 17
)

// Operators behind opVecPrefix.
const (
	vecConst   = 12
	vecShuffle = 13
)

const blockEmpty = 0x40

// immediate is how the bytes after an operator are read.
type immediate byte

const (
	immUnknown immediate = iota
	immNone
	immMemarg
	immI32
	immI64
	immF32
	immF64
	immControl // handled one by one in scan
)

// opcode is what the scanner needs to know of a one-byte operator.
type opcode struct {
	imm   immediate
	delta int8 // change of the operand stack's height
	traps bool
}

var opcodes = func() (t [256]opcode) {
	set := func(from, to int, imm immediate, delta int8) {
		for i := from; i <= to; i++ {
			t[i] = opcode{imm: imm, delta: delta}
		}
	}
	set(opUnreachable, opLoop, immControl, 0)
	set(opIf, opElse, immControl, 0)
	set(opEnd, opReturnCallIndirect, immControl, 0)
	set(opDrop, opDrop, immControl, -1)
	set(opSelect, opSelect, immNone, -2)
	set(opSelectTyped, opSelectTyped, immControl, -2)
	set(opLocalGet, opTableSet, immControl, 0)
	set(opI32Load, 0x35, immMemarg, 0)
	set(0x36, opI64Store32, immMemarg, -2)
	set(opMemorySize, opMemoryGrow, immControl, 0)
	set(opI32Const, opI32Const, immI32, 1)
	set(opI64Const, opI64Const, immI64, 1)
	set(opF32Const, opF32Const, immF32, 1)
	set(opF64Const, opF64Const, immF64, 1)
	set(0x45, 0x45, immNone, 0)  // i32.eqz
	set(0x46, 0x4f, immNone, -1) // i32 comparisons
	set(0x50, 0x50, immNone, 0)  // i64.eqz
	set(0x51, 0x66, immNone, -1) // i64, f32, f64 comparisons
	set(0x67, 0x69, immNone, 0)  // i32.clz, ctz, popcnt
	set(0x6a, 0x78, immNone, -1)
	set(0x79, 0x7b, immNone, 0)
	set(0x7c, 0x8a, immNone, -1)
	set(0x8b, 0x91, immNone, 0) // f32 with one operand
	set(0x92, 0x98, immNone, -1)
	set(0x99, 0x9f, immNone, 0)
	set(0xa0, 0xa6, immNone, -1)
	set(0xa7, 0xc4, immNone, 0) // conversions and sign extensions
	set(opRefNull, opRefFunc, immControl, 0)
	set(opMiscPrefix, opMiscPrefix, immControl, 0)
	set(opVecPrefix, opVecPrefix, immControl, 0)

	for i := opI32Load; i <= opI64Store32; i++ {
		t[i].traps = true
	}
	for i := opI32DivS; i <= opI32RemU; i++ {
		t[i].traps = true
	}
	for i := opI64DivS; i <= opI64RemU; i++ {
		t[i].traps = true
	}
	for _, i := range []int{0xa8, 0xa9, 0xaa, 0xab, 0xae, 0xaf, 0xb0, 0xb1} { // trunc of floats
		t[i].traps = true
	}
	t[opTableGet].traps, t[opTableSet].traps = true, true
	return t
}()

// vecDelta is the change of the operand stack's height by a vector operator.
func vecDelta(sub uint32) int {
	switch {
	case sub <= 10: // loads
		return 0
	case sub == 11: // v128.store
		return -2
	case sub == vecConst:
		return 1
	case sub >= 15 && sub <= 22, sub == 24, sub == 25, sub == 27, sub == 29, sub == 31, sub == 33: // splats, lanes out
		return 0
	case sub == 77, sub == 83: // not, any_true
		return 0
	case sub == 82: // bitselect
		return -2
	case sub >= 88 && sub <= 91: // lanes to memory
		return -2
	case sub >= 92 && sub <= 95: // loads with zeros, demote, promote
		return 0
	}
	switch sub { // the remaining operators with one operand; all others have two
	case 0x60, 0x61, 0x62, 0x63, 0x64, 0x67, 0x68, 0x69, 0x6a, 0x74, 0x75, 0x7a, 0x7c, 0x7d, 0x7e, 0x7f,
		0x80, 0x81, 0x83, 0x84, 0x87, 0x88, 0x89, 0x8a, 0x94,
		0xa0, 0xa1, 0xa3, 0xa4, 0xa7, 0xa8, 0xa9, 0xaa,
		0xc0, 0xc1, 0xc3, 0xc4, 0xc7, 0xc8, 0xc9, 0xca,
		0xe0, 0xe1, 0xe3, 0xec, 0xed, 0xef,
		0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff:
		return 0
	}
	return -1
}

// unsupportedOp names the proposal of an operator that is refused, or gives
// the empty string for one that does not exist.
func unsupportedOp(op byte) string {
	switch op {
	case 0x06, 0x07, 0x08, 0x09, 0x0a, 0x18, 0x19, 0x1f:
		return "exception-handling"
	case 0x14, 0x15, 0xd4, 0xd5, 0xd6:
		return "function-references"
	case 0xd3, opGCPrefix:
		return "gc"
	case opAtomicPrefix:
		return "threads"
	}
	return ""
}
