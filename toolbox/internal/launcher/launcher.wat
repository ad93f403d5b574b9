;; What a program's start calls in place of WASI's args_sizes_get and args_get.
;;
;; When the first argument is --help or has one of the names below, every
;; argument is turned into the interpreter's own:
;;
;;   --help             -c PROGRAM, PROGRAM being what prints the help
;;   --command=TEXT     -c TEXT
;;   --module=NAME      -m NAME
;;   --file=PATH        PATH
;;   --arg=TEXT         TEXT
;;   anything else      itself
;;
;; with -B before them all (no compiled files beside the sources), and with -
;; before an --arg= that comes first (the program is standard input). Any other
;; command line stays as it is.
;;
;; Both functions are appended to another module as they stand. So they call the
;; two imports alone, which have the same numbers there, and use no globals, no
;; tables and no types but the first. 0x7eadbee0 stands for the address of a page
;; that was added to that module's memory:
;;
;;    0  the arguments made, one after the other with a NUL each; 0: none were
;;    4  how many
;;    8  how many bytes
;;   12  the length of PROGRAM
;;   16  PROGRAM and a NUL
(module
  (type $pair (func (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (type $pair)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (type $pair)))
  (import "env" "memory" (memory 1))

  ;; sizes makes the arguments and stores how many there are and what room they
  ;; take. It returns WASI's error number.
  (func $sizes (type $pair) (param $count i32) (param $bytes i32) (result i32)
    (local $n i32)     ;; arguments given
    (local $argv i32)  ;; pointers to them
    (local $i i32)     ;; which of them
    (local $from i32)  ;; the text that is copied
    (local $to i32)    ;; where it goes
    (local $start i32) ;; the first argument made
    (local $made i32)  ;; arguments made
    (local $char i32)
    (local $kind i32)  ;; 0 itself, 1 -c, 2 -m, 3 the value alone, 4 the same for --arg, 5 help
    (local $head i64)  ;; the argument's first 8 bytes

    (if (local.tee $i (call $args_sizes_get (local.get $count) (local.get $bytes)))
      (then (return (local.get $i))))
    (local.set $n (i32.load (local.get $count)))

    ;; Room for the pointers, what was given, and what is made of it: at most
    ;; three bytes more an argument, the program, and some.
    (local.set $argv
      (memory.grow
        (i32.shr_u
          (i32.add
            (i32.add
              (i32.add (i32.shl (local.get $n) (i32.const 3)) (i32.shl (i32.load (local.get $bytes)) (i32.const 1)))
              (i32.load offset=12 (i32.const 0x7eadbee0)))
            (i32.const 65599))
          (i32.const 16))))
    (if (i32.eq (local.get $argv) (i32.const -1))
      (then (return (i32.const 48)))) ;; ENOMEM
    (local.set $argv (i32.shl (local.get $argv) (i32.const 16)))
    (local.set $from (i32.add (local.get $argv) (i32.shl (local.get $n) (i32.const 2))))
    (local.set $to (i32.add (local.get $from) (i32.load (local.get $bytes))))
    (local.set $start (local.get $to))
    (if (local.tee $i (call $args_get (local.get $argv) (local.get $from)))
      (then (return (local.get $i))))

    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
        (local.set $from (i32.load (i32.add (local.get $argv) (i32.shl (local.get $i) (i32.const 2)))))

        ;; What kind of argument is it? The first is the program's name.
        (local.set $kind (i32.const 0))
        (block $known
          (br_if $known (i32.eqz (local.get $i)))
          (local.set $head (i64.load align=1 (local.get $from)))
          (if (i32.and
                (i64.eq (local.get $head) (i64.const 0x6e616d6d6f632d2d))                              ;; --comman
                (i32.eq (i32.load16_u offset=8 align=1 (local.get $from)) (i32.const 0x3d64)))         ;; d=
            (then
              (local.set $kind (i32.const 1))
              (local.set $from (i32.add (local.get $from) (i32.const 10)))
              (br $known)))
          (if (i32.and
                (i64.eq (local.get $head) (i64.const 0x656c75646f6d2d2d))                              ;; --module
                (i32.eq (i32.load8_u offset=8 (local.get $from)) (i32.const 0x3d)))                    ;; =
            (then
              (local.set $kind (i32.const 2))
              (local.set $from (i32.add (local.get $from) (i32.const 9)))
              (br $known)))
          (local.set $head (i64.and (local.get $head) (i64.const 0x00ffffffffffffff)))
          (if (i64.eq (local.get $head) (i64.const 0x003d656c69662d2d))                                ;; --file=
            (then
              (local.set $kind (i32.const 3))
              (local.set $from (i32.add (local.get $from) (i32.const 7)))
              (br $known)))
          (if (i32.and
                (i64.eq (local.get $head) (i64.const 0x00706c65682d2d))                                ;; --help and NUL
                (i32.eq (local.get $i) (i32.const 1)))
            (then
              (local.set $kind (i32.const 5))
              (local.set $from (i32.add (i32.const 0x7eadbee0) (i32.const 16)))
              (br $known)))
          (if (i64.eq (i64.and (local.get $head) (i64.const 0x0000ffffffffffff)) (i64.const 0x3d6772612d2d)) ;; --arg=
            (then
              (local.set $kind (i32.const 4))
              (local.set $from (i32.add (local.get $from) (i32.const 6))))))

        (if (i32.eq (local.get $i) (i32.const 1))
          (then
            (if (i32.eqz (local.get $kind))
              (then (return (i32.const 0)))) ;; the command line stays as it is
            (i32.store align=1 (local.get $to) (i32.const 0x0000422d)) ;; -B
            (local.set $to (i32.add (local.get $to) (i32.const 3)))
            (local.set $made (i32.add (local.get $made) (i32.const 1)))
            (if (i32.eq (local.get $kind) (i32.const 4))
              (then
                (i32.store16 align=1 (local.get $to) (i32.const 0x002d)) ;; -
                (local.set $to (i32.add (local.get $to) (i32.const 2)))
                (local.set $made (i32.add (local.get $made) (i32.const 1)))))))
        (if (i32.or (i32.eq (local.get $kind) (i32.const 1)) (i32.eq (local.get $kind) (i32.const 5)))
          (then
            (i32.store align=1 (local.get $to) (i32.const 0x0000632d)) ;; -c
            (local.set $to (i32.add (local.get $to) (i32.const 3)))
            (local.set $made (i32.add (local.get $made) (i32.const 1)))))
        (if (i32.eq (local.get $kind) (i32.const 2))
          (then
            (i32.store align=1 (local.get $to) (i32.const 0x00006d2d)) ;; -m
            (local.set $to (i32.add (local.get $to) (i32.const 3)))
            (local.set $made (i32.add (local.get $made) (i32.const 1)))))

        (loop $copy
          (i32.store8 (local.get $to) (local.tee $char (i32.load8_u (local.get $from))))
          (local.set $from (i32.add (local.get $from) (i32.const 1)))
          (local.set $to (i32.add (local.get $to) (i32.const 1)))
          (br_if $copy (local.get $char)))
        (local.set $made (i32.add (local.get $made) (i32.const 1)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))

    (if (i32.gt_u (local.get $n) (i32.const 1))
      (then
        (i32.store (i32.const 0x7eadbee0) (local.get $start))
        (i32.store offset=4 (i32.const 0x7eadbee0) (local.get $made))
        (i32.store (local.get $count) (local.get $made))
        (local.set $to (i32.sub (local.get $to) (local.get $start)))
        (i32.store offset=8 (i32.const 0x7eadbee0) (local.get $to))
        (i32.store (local.get $bytes) (local.get $to))))
    (i32.const 0))

  ;; get copies the arguments that sizes made to $text, and their addresses to
  ;; $argv.
  (func $get (type $pair) (param $argv i32) (param $text i32) (result i32)
    (local $from i32)
    (local $left i32) ;; arguments whose address is not stored yet
    (local $end i32)
    (local $char i32)
    (if (i32.eqz (local.tee $from (i32.load (i32.const 0x7eadbee0))))
      (then (return (call $args_get (local.get $argv) (local.get $text)))))
    (local.set $left (i32.load offset=4 (i32.const 0x7eadbee0)))
    (local.set $end (i32.add (local.get $from) (i32.load offset=8 (i32.const 0x7eadbee0))))
    (block $done
      (loop $argument
        (br_if $done (i32.eqz (local.get $left)))
        (i32.store (local.get $argv) (local.get $text))
        (local.set $argv (i32.add (local.get $argv) (i32.const 4)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (loop $copy
          (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
          (i32.store8 (local.get $text) (local.tee $char (i32.load8_u (local.get $from))))
          (local.set $from (i32.add (local.get $from) (i32.const 1)))
          (local.set $text (i32.add (local.get $text) (i32.const 1)))
          (br_if $copy (local.get $char)))
        (br $argument)))
    (i32.const 0))

  (export "sizes" (func $sizes))
  (export "get" (func $get)))
