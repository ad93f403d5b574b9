;; Writes the global that the fuel will be in. It does not exist here.
(module (global $own (mut i64) (i64.const 0))
  (func (export "run") i64.const 0x7fffffffffffffff global.set 3))
