;; fuel 1
(module (func $f nop nop nop) (start $f))
