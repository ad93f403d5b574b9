;; fuel 6
(module (memory 1) (func $f
  v128.const i32x4 1 2 3 4
  i32.const 0 v128.load
  i16x8.mul
  i32x4.extract_lane 2
  drop) (start $f))
