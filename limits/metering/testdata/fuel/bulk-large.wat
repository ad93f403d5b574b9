;; fuel 9
(module (memory 100) (func $f
  i32.const 0 i32.const 1 i32.const 6000000 memory.fill
  i32.const 1 i32.const 0 i32.const 6000000 memory.copy) (start $f))
