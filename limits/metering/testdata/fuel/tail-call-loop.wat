;; fuel 39
(module (func $g (param i32)
    local.get 0 i32.eqz if return end
    local.get 0 i32.const 1 i32.sub
    return_call $g)
  (func $s i32.const 4 call $g) (start $s))
