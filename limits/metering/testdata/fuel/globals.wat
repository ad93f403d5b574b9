;; fuel 6
(module (global $g (mut i64) (i64.const 5)) (func $f
  global.get $g i64.const 1 i64.add global.set $g
  global.get $g drop) (start $f))
