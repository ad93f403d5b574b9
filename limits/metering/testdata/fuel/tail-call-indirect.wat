;; fuel 8
(module (type $t (func (param i32) (result i32)))
  (table funcref (elem $g))
  (func $f (result i32) i32.const 3 i32.const 0 return_call_indirect (type $t))
  (func $g (param i32) (result i32) local.get 0)
  (func $s call $f drop) (start $s))
