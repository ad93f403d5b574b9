;; fuel 2
(module (func $f i32.const 0 return) (start $f))
