;; fuel 1 trap
(module (func $f unreachable) (start $f))
