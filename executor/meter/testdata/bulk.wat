;; Loops whose iterations cost little fuel and much time.
(module
  (memory 1024)
  (table $t 9000000 funcref)
  (func (export "fill") loop i32.const 0 i32.const 7 i32.const 67108864 memory.fill br 0 end)
  (func (export "fill-small") loop i32.const 0 i32.const 7 i32.const 65536 memory.fill br 0 end)
  (func (export "copy") loop i32.const 1 i32.const 0 i32.const 67108863 memory.copy br 0 end)
  (func (export "copy-down") loop i32.const 0 i32.const 1 i32.const 67108863 memory.copy br 0 end)
  (func (export "table-fill") loop i32.const 0 ref.null func i32.const 9000000 table.fill 0 br 0 end)
  (func (export "table-copy") loop i32.const 1 i32.const 0 i32.const 8999999 table.copy 0 0 br 0 end)
  (func (export "table-grow") loop ref.null func i32.const 1000 table.grow 0 drop br 0 end)
  (func (export "memory-grow") loop i32.const 1 memory.grow drop br 0 end))
