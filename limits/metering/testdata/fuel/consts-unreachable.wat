;; fuel 7 trap
(module (func $f i32.const 1 i32.const 2 i32.const 3 i32.const 4 i32.const 5 i32.const 6 unreachable) (start $f))
