;; fuel 3
(module (func $f call $g) (func $g) (start $f))
