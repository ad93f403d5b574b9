;; The same with tables.
(module
  (table $t 9000000 funcref)
  (func (export "table-fill") loop i32.const 0 ref.null func i32.const 9000000 table.fill 0 br 0 end)
  (func (export "table-copy") loop i32.const 1 i32.const 0 i32.const 8999999 table.copy 0 0 br 0 end)
  (func (export "table-grow") loop ref.null func i32.const 1000 table.grow 0 drop br 0 end))
