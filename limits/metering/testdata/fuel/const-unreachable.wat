;; fuel 2 trap
(module (func $f i32.const 0 unreachable) (start $f))
