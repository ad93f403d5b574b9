;; Atomic operators on a memory that is not shared.
(module (memory 1) (func (export "run") i32.const 0 i32.const 1 i32.atomic.rmw.add drop))
