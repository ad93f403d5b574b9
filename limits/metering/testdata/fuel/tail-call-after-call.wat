;; fuel 11
(module (func $f (result i32) call $n i32.const 3 return_call $g)
  (func $n nop)
  (func $g (param i32) (result i32) call $n local.get 0)
  (func $s call $f drop) (start $s))
