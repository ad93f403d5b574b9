;; Bulk operators with lengths that only the run knows, and a host function
;; that looks at the fuel.
(module
  (import "test" "look" (func $look))
  (memory (export "memory") 80)
  (func (export "fill") (param i32 i32 i32) local.get 0 local.get 1 local.get 2 memory.fill)
  (func (export "copy") (param i32 i32 i32) local.get 0 local.get 1 local.get 2 memory.copy)
  (func $inner i32.const 1 drop i32.const 1 drop call $look)
  (func (export "looks") (local i32)
    call $look                       ;; entry and call: 2
    i32.const 1 drop i32.const 1 drop
    call $inner                      ;; 2, call, entry, 2, call: 7 more
    i32.const 1
    if i32.const 5 drop call $look end ;; 2, 1, call: 4 more
    loop
      local.get 0 i32.const 1 i32.add local.tee 0
      call $look                     ;; 5 more, then 3 and 5 more
      i32.const 2 i32.lt_u br_if 0
    end))
