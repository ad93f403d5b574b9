;; fuel 4
(module (func $f i32.const 0 call_indirect) (func $g) (table funcref (elem $g)) (start $f))
