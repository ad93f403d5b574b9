package metering

// Subsections of the name section (WebAssembly appendix A.4.1).
const (
	nameModule    = 0
	nameFunctions = 1
)

// eachName calls f for every subsection until the section ends or is damaged.
// The name section is for humans: what is wrong with it is dropped and never
// makes a module invalid.
func eachName(content []byte, base int, f func(id byte, r *reader)) {
	r := &reader{b: content, base: base}
	for r.err == nil && r.len() > 0 {
		id := r.byte()
		at := r.offset()
		body := r.bytes(int(r.u32()))
		if r.err == nil {
			f(id, &reader{b: body, base: at})
		}
	}
}

func moduleName(content []byte, base int) (name string) {
	eachName(content, base, func(id byte, r *reader) {
		if id == nameModule {
			if s := r.name(); r.err == nil {
				name = s
			}
		}
	})
	return name
}

func functionNames(content []byte, base int) map[uint32]string {
	names := map[uint32]string{}
	eachName(content, base, func(id byte, r *reader) {
		if id != nameFunctions {
			return
		}
		n := r.count(2)
		for i := 0; i < n && r.err == nil; i++ {
			f, name := r.u32(), r.name()
			if r.err == nil {
				names[f] = name
			}
		}
	})
	return names
}

// rewriteNames gives the content of a name section with the module's and the
// functions' names, moved to the functions' new indices. Names of locals and
// of the rest are dropped: stack traces do not show them.
func (m *module) rewriteNames() []byte {
	if m.names == nil {
		return nil
	}
	out := appendName(nil, "name")
	if name := moduleName(m.names, m.nameBase); name != "" {
		out = appendSection(out, nameModule, appendName(nil, name))
	}
	var entries []byte
	count := uint32(0)
	next := int64(0) // indices must rise
	eachName(m.names, m.nameBase, func(id byte, r *reader) {
		if id != nameFunctions {
			return
		}
		n := r.count(2)
		for i := 0; i < n && r.err == nil; i++ {
			f, name := r.u32(), r.name()
			if r.err != nil || int64(f) < next || int64(f) >= int64(len(m.funcs)) {
				continue
			}
			next = int64(f) + 1
			entries = appendName(appendU32(entries, m.remap(f)), name)
			count++
		}
	})
	if count > 0 {
		out = appendSection(out, nameFunctions, append(appendU32(nil, count), entries...))
	}
	return out
}
