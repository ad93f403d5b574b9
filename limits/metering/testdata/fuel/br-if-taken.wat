;; fuel 3
(module (func $f block i32.const 1 br_if 0 i32.const 5 drop end) (start $f))
