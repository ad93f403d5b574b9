;; Has a memory of no pages, grows it in between, and exits from its start function.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 0)
  (func $must (param $got i32) (param $want i32)
    (if (i32.ne (local.get $got) (local.get $want))
      (then (call $proc_exit (i32.add (i32.const 100) (local.get $got))))))
  (func $run
    (call $must (call $random_get (i32.const 0) (i32.const 1)) (i32.const 21))
    (call $must (call $random_get (i32.const 0) (i32.const 0)) (i32.const 0))
    (drop (memory.grow (i32.const 1)))
    (call $must (call $random_get (i32.const 0) (i32.const 65536)) (i32.const 0))
    (call $must (call $random_get (i32.const 1) (i32.const 65536)) (i32.const 21))
    (call $proc_exit (i32.const 7)))
  (func (export "_start"))
  (start $run))
