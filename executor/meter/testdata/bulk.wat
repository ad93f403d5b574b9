;; Loops whose iterations cost little fuel and much time.
(module
  (memory 1024)
  (func (export "fill") loop i32.const 0 i32.const 7 i32.const 67108864 memory.fill br 0 end)
  (func (export "fill-small") loop i32.const 0 i32.const 7 i32.const 65536 memory.fill br 0 end)
  (func (export "copy") loop i32.const 1 i32.const 0 i32.const 67108863 memory.copy br 0 end)
  (func (export "copy-down") loop i32.const 0 i32.const 1 i32.const 67108863 memory.copy br 0 end)
  (func (export "memory-grow") loop i32.const 1 memory.grow drop br 0 end))
