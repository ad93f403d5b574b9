(module
  (memory (export "memory") 2 100)
  (table $t 10 100 funcref)
  (func (export "memory.grow") (param i32) (result i32) local.get 0 memory.grow)
  (func (export "table.grow") (param i32) (result i32) ref.null func local.get 0 table.grow 0)
  (func (export "poke") (param i32 i32) local.get 0 local.get 1 i32.store)
  (func (export "peek") (param i32) (result i32) local.get 0 i32.load))
