;; fuel 43
(module (func $f (local i32)
  block
    loop
      local.get 0 i32.const 1 i32.add local.tee 0
      i32.const 6 i32.ge_u
      br_table 0 1
    end
  end) (start $f))
