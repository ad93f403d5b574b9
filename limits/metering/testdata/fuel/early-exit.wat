;; fuel 14
(module (func $f (local i32)
  block
    loop
      local.get 0 br_if 1
      i32.const 1 local.set 0
      i32.const 4 drop i32.const 4 drop
      br 0
    end
  end
  i32.const 1 drop i32.const 1 drop i32.const 1 drop i32.const 1 drop) (start $f))
