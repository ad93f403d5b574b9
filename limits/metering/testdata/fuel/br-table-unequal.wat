;; fuel 13
;; The targets of one br_table are reached with different amounts pending.
(module (func $g (param i32)
  block
    i32.const 1 drop i32.const 1 drop
    local.get 0 br_if 0
    block
      i32.const 1 drop
      local.get 0 br_table 0 1
    end
    i32.const 1 drop
  end)
  (func $f i32.const 0 call $g i32.const 1 drop) (start $f))
