;; fuel 1
(module (func $f loop end) (start $f))
