;; fuel 2
(module (func $f block br 0 i32.const 1 drop end) (start $f))
