;; fuel 3
(module (func $f i32.const 0 if call $f end) (start $f))
