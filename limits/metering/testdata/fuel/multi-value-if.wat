;; fuel 8
(module (func $f
  i32.const 1 i32.const 2
  i32.const 0
  if (param i32 i32) (result i32)
    i32.add
  else
    i32.sub i32.eqz
  end i32.eqz drop) (start $f))
