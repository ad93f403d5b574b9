;; Calls WASI without having a memory for the answers.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (func $must (param $got i32) (param $want i32)
    (if (i32.ne (local.get $got) (local.get $want))
      (then (call $proc_exit (local.get $got)))))
  (func (export "_start")
    (call $must (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0)) (i32.const 21)) ;; EFAULT
    (call $must (call $random_get (i32.const 0) (i32.const 1)) (i32.const 21))
    (call $must
      (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 0))
      (i32.const 21))
    (call $must (call $fd_close (i32.const 2)) (i32.const 0))))
