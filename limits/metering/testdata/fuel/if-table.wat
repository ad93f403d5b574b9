;; fuel 20
;; An if without else whose end is the target of a br_table, taken and not.
(module
  (func $g (param i32)
    i32.const 1 drop i32.const 1 drop
    local.get 0
    if i32.const 1 drop i32.const 0 br_table 0 0 end
    i32.const 1 drop)
  (func $f i32.const 0 call $g i32.const 1 call $g)
  (start $f))
