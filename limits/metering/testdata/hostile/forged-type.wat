;; Uses a type that is added.
(module (type (func)) (table 1 funcref) (func (export "run") i64.const 1 i32.const 0 call_indirect (type 1)))
