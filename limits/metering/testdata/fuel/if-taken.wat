;; fuel 4
(module (func $f i32.const 1 if i32.const 5 drop end) (start $f))
