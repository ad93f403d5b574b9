;; The same for the stack.
(module (global $own (mut i64) (i64.const 0))
  (func (export "run") i64.const 0x7fffffffffffffff global.set 2))
