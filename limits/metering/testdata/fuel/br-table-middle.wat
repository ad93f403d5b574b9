;; fuel 4
(module (func $f
  block block block
    i32.const 1 br_table 0 1 2
  end i32.const 1 drop i32.const 1 drop i32.const 1 drop
  end i32.const 1 drop
  end) (start $f))
