;; fuel 4
(module (func $f call $g drop) (func $g (result i32) i32.const 7) (start $f))
