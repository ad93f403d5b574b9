;; fuel 11
(module (func $g (param i32) (result i32)
  local.get 0
  if (result i32) i32.const 1 else i32.const 2 i32.const 3 i32.add end)
  (func $f i32.const 1 call $g drop i32.const 1 drop i32.const 1 drop i32.const 1 drop i32.const 1 drop) (start $f))
