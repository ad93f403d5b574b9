;; fuel 11
(module (func $f
  i32.const 3
  loop (param i32) (result i32)
    i32.const 1 i32.sub
    block (param i32) (result i32 i32) i32.const 1 end
    i32.and
    block (result i32) i32.const 0 end
    br_if 0
    i32.const 2
    i32.const 0
    br_if 0
    drop
  end drop) (start $f))
