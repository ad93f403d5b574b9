;; fuel 1
(module (func $f block end) (start $f))
