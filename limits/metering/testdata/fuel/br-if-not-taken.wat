;; fuel 4
(module (func $f block i32.const 0 br_if 0 i32.const 5 drop end) (start $f))
