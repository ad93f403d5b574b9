;; fuel 89
(module (func $fib (param i32) (result i32)
  local.get 0 i32.const 2 i32.lt_u
  if (result i32) local.get 0
  else local.get 0 i32.const 1 i32.sub call $fib local.get 0 i32.const 2 i32.sub call $fib i32.add end)
  (func $f i32.const 4 call $fib drop) (start $f))
