;; fuel 93
(module (func $f (local i32 i32)
  loop
    i32.const 0 local.set 1
    loop
      local.get 1 i32.const 1 i32.add local.tee 1
      i32.const 2 i32.lt_u br_if 0
    end
    local.get 0 i32.const 1 i32.add local.tee 0
    i32.const 4 i32.lt_u br_if 0
  end) (start $f))
