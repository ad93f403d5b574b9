;; Loops that never end: one that does nothing, one through a call, one through
;; a tail call.
(module
  (func (export "loop") loop br 0 end)
  (func $nop (param i32) (result i32) local.get 0)
  (func (export "calls") loop i32.const 1 call $nop br_if 0 end)
  (func $t (export "tail") return_call $t)
  (func (export "quick") nop))
