(module
  (func $down (param i32) (result i32)
    local.get 0 i32.eqz if i32.const 0 return end
    local.get 0 i32.const 1 i32.sub call $down i32.const 1 i32.add)
  (export "down" (func $down))
  ;; The same with forty operands waiting in every frame.
  (func $wide (param i32) (result i32)
    local.get 0 i32.eqz if i32.const 0 return end
    local.get 0 local.get 0 i32.const 1 i32.add local.get 0 i32.const 2 i32.add local.get 0 i32.const 3 i32.add
    local.get 0 i32.const 4 i32.add local.get 0 i32.const 5 i32.add local.get 0 i32.const 6 i32.add local.get 0 i32.const 7 i32.add
    local.get 0 i32.const 8 i32.add local.get 0 i32.const 9 i32.add local.get 0 i32.const 10 i32.add local.get 0 i32.const 11 i32.add
    local.get 0 i32.const 12 i32.add local.get 0 i32.const 13 i32.add local.get 0 i32.const 14 i32.add local.get 0 i32.const 15 i32.add
    local.get 0 i32.const 16 i32.add local.get 0 i32.const 17 i32.add local.get 0 i32.const 18 i32.add local.get 0 i32.const 19 i32.add
    local.get 0 i32.const 1 i32.sub call $wide
    i32.add i32.add i32.add i32.add i32.add i32.add i32.add i32.add i32.add i32.add
    i32.add i32.add i32.add i32.add i32.add i32.add i32.add i32.add i32.add i32.add)
  (export "wide" (func $wide))
  (func $forever (export "forever") call $forever))
