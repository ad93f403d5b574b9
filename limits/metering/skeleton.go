package metering

import "crypto/sha256"

// skeletonSection names the custom section that ties a skeleton to the module
// it was made of: two modules that differ in code alone have different
// skeletons.
const skeletonSection = "boxfleet.code"

// Skeleton gives the module without its code: every function body is one
// unreachable. An engine that keeps the native code of a module needs nothing
// else of it, and reads and validates a skeleton in a fraction of the time.
// Running a skeleton whose native code is not that of the module traps.
func Skeleton(wasm []byte) ([]byte, error) {
	if len(wasm) < 8 || string(wasm[:8]) != "\x00asm\x01\x00\x00\x00" {
		return nil, ErrNotWasm
	}
	out := make([]byte, 0, len(wasm)/8)
	out = append(out, wasm[:8]...)
	r := &reader{b: wasm, pos: 8}
	for r.err == nil && r.len() > 0 {
		id := r.byte()
		content := r.bytes(int(r.u32()))
		if r.err != nil {
			break
		}
		if id != secCode {
			out = appendSection(out, id, content)
			continue
		}
		bodies := &reader{b: content, base: r.offset() - len(content)}
		n := bodies.count(2)
		if bodies.err != nil {
			return nil, bodies.err
		}
		code := appendU32(make([]byte, 0, 5+4*n), uint32(n))
		for range n {
			code = append(code, 3, 0, opUnreachable, opEnd)
		}
		out = appendSection(out, secCode, code)
	}
	if r.err != nil {
		return nil, r.err
	}
	sum := sha256.Sum256(wasm)
	return appendSection(out, secCustom, append(appendName(nil, skeletonSection), sum[:]...)), nil
}
