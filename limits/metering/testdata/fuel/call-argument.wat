;; fuel 5
(module (func $f i32.const 7 call $g i32.const 7 drop) (func $g (param i32)) (start $f))
