(module (memory 1 1 shared) (func (export "run") i32.const 0 i32.const 1 i32.atomic.rmw.add drop))
