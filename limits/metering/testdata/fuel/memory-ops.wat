;; fuel 14
(module (memory 1) (func $f
  i32.const 0 i32.load drop
  i32.const 0 i64.const 1 i64.store
  memory.size drop
  i32.const 0 memory.grow drop
  i32.const 0 i32.load8_u offset=9 i32.const 1 i32.and i32.popcnt drop) (start $f))
