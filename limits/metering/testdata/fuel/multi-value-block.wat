;; fuel 6
(module (func $f
  i32.const 1
  block (param i32) (result i32 i32)
    i32.const 2
    i32.const 1
    br_if 0
  end i32.add drop) (start $f))
