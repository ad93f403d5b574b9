;; fuel 4
(module (func $f
  block br 0
    block (result i32) i32.const 1 br 0 i32.const 5 call $g end drop
    loop br 0 end
  end
  i32.const 0 if unreachable i32.const 2 drop end) (func $g) (start $f))
