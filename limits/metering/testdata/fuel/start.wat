;; fuel 1
(module (func $f) (start $f))
