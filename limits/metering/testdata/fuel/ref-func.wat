;; fuel 3
(module (elem declare func $f) (func $f ref.func $f ref.is_null drop) (start $f))
