package component

// This file reads types only to get past them: what a type says is checked by
// whoever made the component, and the engine checks the signature of every
// function that the main module imports.

// skipType reads one definition of the type section.
func (r *reader) skipType() {
	if !r.enter() {
		return
	}
	defer r.leave()
	switch c := r.byte(); c {
	case 0x40: // func
		for n := r.count(2); n > 0 && r.err == nil; n-- {
			r.name()
			r.valueType()
		}
		switch named := r.byte(); {
		case named == 0:
			r.valueType()
		case named == 1: // none, or, until 2024, a list of named results
			for n := r.count(2); n > 0 && r.err == nil; n-- {
				r.name()
				r.valueType()
			}
		default:
			r.fail("%#x is no list of results", named)
		}
	case 0x43:
		r.refuse("it has asynchronous functions: that is WASI 0.3; build it for 0.2")
	case 0x41, 0x42: // component, instance
		r.skipDecls(c == 0x41)
	case 0x3f: // resource
		if rep := r.byte(); rep != 0x7f {
			r.fail("a resource is represented by %#x, want i32 (0x7f)", rep)
		}
		switch r.byte() {
		case 0:
		case 1:
			r.u32()
		default:
			r.fail("bad option of a destructor")
		}
	default:
		r.pos--
		r.skipValueDefinition()
	}
}

func (r *reader) skipValueDefinition() {
	switch c := r.byte(); c {
	case 0x72: // record
		for n := r.count(2); n > 0 && r.err == nil; n-- {
			r.name()
			r.valueType()
		}
	case 0x71: // variant
		for n := r.count(3); n > 0 && r.err == nil; n-- {
			r.name()
			r.optionalValueType()
			if refines := r.byte(); refines != 0 {
				r.fail("a case ends with %#x, want 0", refines)
			}
		}
	case 0x70, 0x6b: // list, option
		r.valueType()
	case 0x67: // list of fixed length
		r.valueType()
		r.u32()
	case 0x6f: // tuple
		for n := r.count(1); n > 0 && r.err == nil; n-- {
			r.valueType()
		}
	case 0x6e, 0x6d: // flags, enum
		for n := r.count(1); n > 0 && r.err == nil; n-- {
			r.name()
		}
	case 0x6a: // result
		r.optionalValueType()
		r.optionalValueType()
	case 0x69, 0x68: // own, borrow
		r.u32()
	case 0x66, 0x65: // stream, future
		r.refuse("it has streams or futures as values: that is WASI 0.3; build it for 0.2")
	default:
		if c < 0x73 || c > 0x7f { // bool to string
			r.pos--
			r.fail("%#x is no type", c)
		}
	}
}

// valueType is a primitive type of one byte, or the index of a type.
func (r *reader) valueType() {
	if c := r.peek(); c >= 0x73 && c <= 0x7f {
		r.byte()
		return
	}
	if c := r.peek(); c&0xc0 == 0x40 { // a negative number of one byte
		r.fail("%#x is no value type", c)
		return
	}
	r.u32()
}

func (r *reader) optionalValueType() {
	switch c := r.byte(); c {
	case 0:
	case 1:
		r.valueType()
	default:
		r.fail("%#x is no option, want 0 or 1", c)
	}
}

// skipDecls reads the declarations of a component or instance type.
func (r *reader) skipDecls(imports bool) {
	for n := r.count(2); n > 0 && r.err == nil; n-- {
		switch c := r.byte(); {
		case c == 0x01:
			r.skipType()
		case c == 0x02:
			r.alias()
		case c == 0x04, c == 0x03 && imports:
			r.externName()
			r.externDesc()
		case c == 0x00:
			r.refuse("it declares types of core modules, as no compiler of programs does")
		default:
			r.fail("%#x is no declaration", c)
		}
	}
}

// externDesc reads what an import or export is and gives its sort.
func (r *reader) externDesc() sort {
	switch c := r.byte(); c {
	case 0x00:
		if c := r.byte(); r.err == nil && c != 0x11 {
			r.fail("%#x is no core thing that can be imported, only modules (0x11)", c)
		}
		r.u32()
		return sortCoreModule
	case 0x01:
		r.u32()
		return sortFunc
	case 0x02:
		r.refuse("it imports or exports values, which no WASI has")
	case 0x03:
		switch b := r.byte(); b {
		case 0:
			r.u32()
		case 1:
		default:
			r.fail("%#x is no bound of a type", b)
		}
		return sortType
	case 0x04:
		r.u32()
		return sortComponent
	case 0x05:
		r.u32()
		return sortInstance
	default:
		r.fail("%#x is nothing that can be imported or exported", c)
	}
	return 0
}
