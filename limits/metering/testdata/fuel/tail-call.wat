;; fuel 7
(module (func $f (result i32) i32.const 3 return_call $g)
  (func $g (param i32) (result i32) local.get 0)
  (func $s call $f drop) (start $s))
