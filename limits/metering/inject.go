package metering

// injection is what is added to a module: types, globals and functions. The
// functions that only some modules need are made when first asked for.
type injection struct {
	m *module

	types   []FuncType        // added after the module's own
	typeIDs map[string]uint32 // of the added ones, by signature

	meter    uint32 // index of the imported host function
	fuel     uint32 // index of the global with the rest of the slice
	stack    uint32 // index of the global with the rest of the stack
	refill   uint32 // function (ahead i64): ask for fuel
	overflow uint32 // function (): ask for stack

	debt uint32 // index of the global with bytes moved since the last poll

	fillFunc, copyFunc, pollFunc int // function indices, or -1
	growFuncs                    map[uint32]uint32

	first     uint32 // index of the first added function
	functions []uint32
	code      [][]byte // bodies of the added functions, locals included
	globals   []byte
	nglobals  uint32
}

// newInjection prepares what every module gets.
func newInjection(m *module) *injection {
	j := &injection{m: m, fillFunc: -1, copyFunc: -1, pollFunc: -1,
		typeIDs: map[string]uint32{}, growFuncs: map[uint32]uint32{}}
	j.meter = uint32(m.importedFuncs)
	j.first = uint32(len(m.funcs)) + 1
	j.meterType()
	// The fuel comes last, where hosts find it without knowing the module.
	j.debt = j.addGlobal()
	j.stack = j.addGlobal()
	j.fuel = j.addGlobal()

	// fuel = meter(OpRefill, fuel + ahead) - ahead
	var a asm
	a.op(opI32Const).s(OpRefill).op(opGlobalGet).u(j.fuel).op(opLocalGet).u(0).op(opI64Add)
	a.op(opCall).u(j.meter)
	a.op(opLocalGet).u(0).op(opI64Sub).op(opGlobalSet).u(j.fuel).op(opEnd)
	j.refill = j.addFunction(FuncType{Params: []ValueType{I64}}, nil, a)

	// stack = meter(OpStack, stack)
	a = nil
	a.op(opI32Const).s(OpStack).op(opGlobalGet).u(j.stack).op(opCall).u(j.meter)
	a.op(opGlobalSet).u(j.stack).op(opEnd)
	j.overflow = j.addFunction(FuncType{}, nil, a)
	return j
}

// meterType is the signature of the host function.
func (j *injection) meterType() uint32 {
	return j.typeID(FuncType{Params: []ValueType{I32, I64}, Results: []ValueType{I64}})
}

// typeID adds a signature once.
func (j *injection) typeID(t FuncType) uint32 {
	key := make([]byte, 0, 16)
	for _, p := range t.Params {
		key = append(key, byte(p))
	}
	key = append(key, 0)
	for _, r := range t.Results {
		key = append(key, byte(r))
	}
	if id, ok := j.typeIDs[string(key)]; ok {
		return id
	}
	id := uint32(len(j.m.types) + len(j.types))
	j.types = append(j.types, t)
	j.typeIDs[string(key)] = id
	return id
}

func (j *injection) addGlobal() uint32 {
	j.globals = append(j.globals, byte(I64), 1, opI64Const, 0, opEnd)
	j.nglobals++
	return uint32(j.m.globals) + j.nglobals - 1
}

func (j *injection) addFunction(t FuncType, locals []ValueType, code asm) uint32 {
	b := appendU32(nil, uint32(len(locals)))
	for _, l := range locals {
		b = append(b, 1, byte(l))
	}
	j.functions = append(j.functions, j.typeID(t))
	j.code = append(j.code, append(b, code...))
	return j.first + uint32(len(j.functions)) - 1
}

// appendBlockType writes the type of a block with the given results.
func (j *injection) appendBlockType(b []byte, results []ValueType) []byte {
	switch len(results) {
	case 0:
		return append(b, blockEmpty)
	case 1:
		return append(b, byte(results[0]))
	}
	return appendSleb(b, int64(j.typeID(FuncType{Results: results})))
}

// pairType is the type of a block that takes two i32.
func (j *injection) pairType() uint32 {
	return j.typeID(FuncType{Params: []ValueType{I32, I32}})
}

// poll is a function that asks whether to stop and forgets the bytes moved
// since the last time.
func (j *injection) poll() uint32 {
	if j.pollFunc < 0 {
		var a asm
		a.op(opI64Const).s(0).op(opGlobalSet).u(j.debt)
		a.op(opI32Const).s(OpPoll).op(opI64Const).s(0).op(opCall).u(j.meter).op(opDrop).op(opEnd)
		j.pollFunc = int(j.addFunction(FuncType{}, nil, a))
	}
	return uint32(j.pollFunc)
}

// bulkPiece is how many bytes are moved between two polls at most.
const bulkPiece = 1 << 20

var threeI32 = FuncType{Params: []ValueType{I32, I32, I32}}

// owe adds the length in local 2 to the bytes moved and polls when they are
// enough, so that a loop of middle-sized operators polls too.
func (j *injection) owe(a *asm) {
	poll := j.poll()
	debt := j.debt
	a.op(opGlobalGet).u(debt).op(opLocalGet).u(2).op(opI64ExtendI32U, opI64Add).op(opGlobalSet).u(debt)
	a.op(opGlobalGet).u(debt).op(opI64Const).s(bulkPiece).op(opI64GtU)
	a.op(opIf, blockEmpty, opCall).u(poll).op(opEnd)
}

// outside branches to label 0 if the range that starts at the given local and
// has the length in local 2 does not fit the memory: then the operator is run
// whole and traps before it has written anything.
func (a *asm) outside(start uint32) {
	a.op(opLocalGet).u(start).op(opI64ExtendI32U)
	a.op(opLocalGet).u(2).op(opI64ExtendI32U, opI64Add)
	a.op(opMemorySize, 0, opI64ExtendI32U, opI64Const).s(16).op(opI64Shl, opI64GtU)
	a.op(opBrIf).u(0)
}

// fits branches to label 0 if no more than one piece is left.
func (a *asm) fits() {
	a.op(opLocalGet).u(2).op(opI32Const).s(bulkPiece).op(opI32LeU, opBrIf).u(0)
}

// step adds the piece to the given local, or subtracts it.
func (a *asm) step(local uint32, op byte) {
	a.op(opLocalGet).u(local).op(opI32Const).s(bulkPiece).op(op, opLocalSet).u(local)
}

// again repeats the loop while more than one piece is left.
func (a *asm) again() {
	a.op(opLocalGet).u(2).op(opI32Const).s(bulkPiece).op(opI32GtU, opBrIf).u(0)
}

// fill is a function like memory.fill that works in pieces.
func (j *injection) fill() uint32 {
	if j.fillFunc >= 0 {
		return uint32(j.fillFunc)
	}
	poll := j.poll()
	var a asm
	j.owe(&a)
	a.op(opBlock, blockEmpty)
	a.fits()
	a.outside(0)
	a.op(opLoop, blockEmpty)
	a.op(opLocalGet).u(0).op(opLocalGet).u(1).op(opI32Const).s(bulkPiece).op(opMiscPrefix, miscMemoryFill, 0)
	a.step(0, opI32Add)
	a.step(2, opI32Sub)
	a.op(opCall).u(poll)
	a.again()
	a.op(opEnd, opEnd)
	a.op(opLocalGet).u(0).op(opLocalGet).u(1).op(opLocalGet).u(2).op(opMiscPrefix, miscMemoryFill, 0, opEnd)
	j.fillFunc = int(j.addFunction(threeI32, nil, a))
	return uint32(j.fillFunc)
}

// copy is a function like memory.copy that works in pieces: upwards if the
// target is below the source, downwards if not, since the two may overlap.
func (j *injection) copy() uint32 {
	if j.copyFunc >= 0 {
		return uint32(j.copyFunc)
	}
	poll := j.poll()
	var a asm
	j.owe(&a)
	a.op(opBlock, blockEmpty)
	a.fits()
	a.outside(0)
	a.outside(1)
	a.op(opLocalGet).u(0).op(opLocalGet).u(1).op(opI32LeU, opIf, blockEmpty)
	a.op(opLoop, blockEmpty)
	a.op(opLocalGet).u(0).op(opLocalGet).u(1).op(opI32Const).s(bulkPiece).op(opMiscPrefix, miscMemoryCopy, 0, 0)
	a.step(0, opI32Add)
	a.step(1, opI32Add)
	a.step(2, opI32Sub)
	a.op(opCall).u(poll)
	a.again()
	a.op(opEnd, opElse)
	a.op(opLoop, blockEmpty)
	a.step(2, opI32Sub)
	a.op(opLocalGet).u(0).op(opLocalGet).u(2).op(opI32Add)
	a.op(opLocalGet).u(1).op(opLocalGet).u(2).op(opI32Add)
	a.op(opI32Const).s(bulkPiece).op(opMiscPrefix, miscMemoryCopy, 0, 0)
	a.op(opCall).u(poll)
	a.again()
	a.op(opEnd, opEnd, opEnd)
	a.op(opLocalGet).u(0).op(opLocalGet).u(1).op(opLocalGet).u(2).op(opMiscPrefix, miscMemoryCopy, 0, 0, opEnd)
	j.copyFunc = int(j.addFunction(threeI32, nil, a))
	return uint32(j.copyFunc)
}

// tableGrow is a function like table.grow on one table that asks the host for
// room first, if the table's maximum allows the growth at all.
func (j *injection) tableGrow(table uint32) uint32 {
	if f, ok := j.growFuncs[table]; ok {
		return f
	}
	t := j.m.tables[table]
	var a asm
	a.op(opLocalGet).u(1).op(opI64ExtendI32U, opMiscPrefix, miscTableSize).u(table).op(opI64ExtendI32U, opI64Add)
	a.op(opI64Const).s(int64(j.m.tableMax(t))).op(opI64GtU)
	a.op(opIf, blockEmpty, opI32Const).s(-1).op(opReturn, opEnd)
	a.op(opI32Const).s(OpTableGrow).op(opLocalGet).u(1).op(opI64ExtendI32U).op(opCall).u(j.meter)
	a.op(opI32WrapI64, opI32Eqz)
	a.op(opIf, blockEmpty, opI32Const).s(-1).op(opReturn, opEnd)
	a.op(opLocalGet).u(0).op(opLocalGet).u(1).op(opMiscPrefix, miscTableGrow).u(table).op(opEnd)
	f := j.addFunction(FuncType{Params: []ValueType{t.Type, I32}, Results: []ValueType{I32}}, nil, a)
	j.growFuncs[table] = f
	return f
}

// asm is code being written.
type asm []byte

func (a *asm) op(b ...byte) *asm { *a = append(*a, b...); return a }
func (a *asm) u(v uint32) *asm   { *a = appendU32(*a, v); return a }
func (a *asm) s(v int64) *asm    { *a = appendSleb(*a, v); return a }
