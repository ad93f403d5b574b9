;; fuel 14
(module (memory 1) (data $d "abc") (func $f
  i32.const 0 i32.const 1 i32.const 100 memory.fill
  i32.const 0 i32.const 9 i32.const 60000 memory.copy
  i32.const 0 i32.const 0 i32.const 3 memory.init $d
  data.drop $d
  nop) (start $f))
