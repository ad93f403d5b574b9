;; Reads its arguments as a program of wasi-libc does and prints them, a line
;; each. It then exits with how many there were.
(module
  (type $pair (func (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (type $pair)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (type $pair)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) "\n")
  (func $main (export "_start")
    (local $i i32) (local $count i32) (local $text i32) (local $end i32)
    (if (i32.and (call $args_sizes_get (i32.const 0) (i32.const 4)) (i32.const 65535))
      (then (call $proc_exit (i32.const 71))))
    (local.set $count (i32.load (i32.const 0)))
    ;; The pointers are at 64, the texts behind them and the NULL.
    (local.set $text (i32.add (i32.const 68) (i32.shl (local.get $count) (i32.const 2))))
    ;; Mark what must stay as it is: the byte after the texts.
    (i32.store8 (i32.add (local.get $text) (i32.load (i32.const 4))) (i32.const 42))
    (if (i32.and (call $args_get (i32.const 64) (local.get $text)) (i32.const 65535))
      (then (call $proc_exit (i32.const 72))))
    (if (i32.ne (i32.load8_u (i32.add (local.get $text) (i32.load (i32.const 4)))) (i32.const 42))
      (then (call $proc_exit (i32.const 73))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
        (local.set $text (i32.load (i32.add (i32.const 64) (i32.shl (local.get $i) (i32.const 2)))))
        (local.set $end (local.get $text))
        (block $ended
          (loop $char
            (br_if $ended (i32.eqz (i32.load8_u (local.get $end))))
            (local.set $end (i32.add (local.get $end) (i32.const 1)))
            (br $char)))
        (i32.store (i32.const 24) (local.get $text))
        (i32.store (i32.const 28) (i32.sub (local.get $end) (local.get $text)))
        (i32.store (i32.const 32) (i32.const 16))
        (i32.store (i32.const 36) (i32.const 1))
        (drop (call $fd_write (i32.const 1) (i32.const 24) (i32.const 2) (i32.const 8)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (call $proc_exit (local.get $count))))
