;; fuel 9
(module (func $f
  i32.const 1 i32.const 2 i32.const 0 select drop
  ref.null func ref.null func i32.const 1 select (result funcref) drop) (start $f))
