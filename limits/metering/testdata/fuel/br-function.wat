;; fuel 3
(module (func $f i32.const 1 br_if 0 i32.const 1 drop) (start $f))
