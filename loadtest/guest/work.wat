;; work ROUNDS MILLISECONDS TEXT
;;
;; Computes for so many rounds, waits for so long without using a core, and
;; writes TEXT to standard output, and to the file "out" in its first mounted
;; directory if it may make one there. Anything else is a trap, so that a load
;; test cannot take a broken call for a fast one.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))

  ;; 0 argc, 4 bytes of all arguments, 8 count written or read, 12 descriptor,
  ;; 16 iovec, 64 subscription, 128 event, 192 the file's name, 256 argv,
  ;; 1024 the arguments' bytes
  (memory (export "memory") 1)
  (data (i32.const 192) "out")
  (global $state (mut i32) (i32.const 1))

  (func $must (param $errno i32)
    (if (local.get $errno) (then unreachable)))

  ;; The argument as a decimal number.
  (func $number (param $n i32) (result i32)
    (local $p i32) (local $c i32) (local $v i32)
    (local.set $p (i32.load offset=256 (i32.shl (local.get $n) (i32.const 2))))
    (block $end
      (loop $next
        (local.set $c (i32.load8_u (local.get $p)))
        (br_if $end (i32.eqz (local.get $c)))
        (if (i32.gt_u (i32.sub (local.get $c) (i32.const 48)) (i32.const 9)) (then unreachable))
        (local.set $v (i32.add (i32.mul (local.get $v) (i32.const 10)) (i32.sub (local.get $c) (i32.const 48))))
        (local.set $p (i32.add (local.get $p) (i32.const 1)))
        (br $next)))
    (local.get $v))

  ;; xorshift, so that no round can be left out
  (func $compute (param $rounds i32)
    (local $x i32)
    (local.set $x (global.get $state))
    (block $end
      (loop $next
        (br_if $end (i32.eqz (local.get $rounds)))
        (local.set $x (i32.xor (local.get $x) (i32.shl (local.get $x) (i32.const 13))))
        (local.set $x (i32.xor (local.get $x) (i32.shr_u (local.get $x) (i32.const 17))))
        (local.set $x (i32.xor (local.get $x) (i32.shl (local.get $x) (i32.const 5))))
        (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
        (br $next)))
    (global.set $state (local.get $x)))

  (func $wait (param $ms i32)
    (if (i32.eqz (local.get $ms)) (then (return)))
    (i32.store8 offset=8 (i32.const 64) (i32.const 0))  ;; a clock
    (i32.store offset=16 (i32.const 64) (i32.const 1))  ;; monotonic
    (i64.store offset=24 (i32.const 64) (i64.mul (i64.extend_i32_u (local.get $ms)) (i64.const 1000000)))
    (call $must (call $poll_oneoff (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 8))))

  (func $write (param $fd i32)
    (call $must (call $fd_write (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 8)))
    (if (i32.ne (i32.load (i32.const 8)) (i32.load (i32.const 20))) (then unreachable)))

  (func (export "_start")
    (call $must (call $args_sizes_get (i32.const 0) (i32.const 4)))
    (if (i32.ne (i32.load (i32.const 0)) (i32.const 4)) (then unreachable))
    (if (i32.gt_u (i32.load (i32.const 4)) (i32.const 60000)) (then unreachable))
    (call $must (call $args_get (i32.const 256) (i32.const 1024)))
    (call $compute (call $number (i32.const 1)))
    (call $wait (call $number (i32.const 2)))
    ;; the text ends where the arguments end, before their last zero byte
    (i32.store (i32.const 16) (i32.load offset=256 (i32.const 12)))
    (i32.store (i32.const 20)
      (i32.sub (i32.add (i32.const 1023) (i32.load (i32.const 4))) (i32.load (i32.const 16))))
    (call $write (i32.const 1))
    ;; oflags 9: create and truncate; rights 64: fd_write
    (if (i32.eqz (call $path_open (i32.const 3) (i32.const 0) (i32.const 192) (i32.const 3) (i32.const 9)
          (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 12)))
      (then (call $write (i32.load (i32.const 12)))))))
