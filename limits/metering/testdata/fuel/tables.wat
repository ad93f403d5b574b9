;; fuel 21
(module (table 2 9 funcref) (elem $e func $f) (func $f
  i32.const 0 i32.const 0 i32.const 1 table.init 0 $e
  i32.const 1 i32.const 0 i32.const 1 table.copy 0 0
  i32.const 0 ref.null func i32.const 2 table.fill 0
  ref.null func i32.const 3 table.grow 0 drop
  i32.const 0 table.get 0 ref.is_null drop
  elem.drop $e
  table.size 0 drop) (start $f))
