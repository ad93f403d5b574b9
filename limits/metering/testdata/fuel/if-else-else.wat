;; fuel 4
(module (func $f i32.const 0 if call $f else i32.const 5 drop end) (start $f))
