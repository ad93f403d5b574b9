;; fuel 4
(module (func $f i32.const 1 if i32.const 5 drop else call $f end) (start $f))
