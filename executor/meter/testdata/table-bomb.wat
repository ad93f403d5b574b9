;; Grows a table without a maximum.
(module (table 0 funcref) (func (export "run") (result i32) ref.null func i32.const 100000000 table.grow 0))
