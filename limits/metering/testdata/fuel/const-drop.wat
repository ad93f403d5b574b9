;; fuel 2
(module (func $f i64.const 9 drop) (start $f))
