;; fuel 9
(module (func $g (param i32) (result i32)
  local.get 0
  local.get 0
  br_if 0
  drop
  i32.const 3)
  (func $f i32.const 5 call $g drop
    ;; the second call falls through
    i32.const 0 if i32.const 0 call $g drop end) (start $f))
