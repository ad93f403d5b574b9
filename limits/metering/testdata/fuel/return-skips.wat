;; fuel 1
(module (func $f return i32.const 1 i32.const 2 i32.const 3 unreachable) (start $f))
