;; Calls of host functions: one that waits, one that breaks, one that exits.
(module
  (import "test" "wait" (func $wait))
  (import "test" "check" (func $check))
  (import "test" "break" (func $break))
  (import "test" "exit" (func $exit (param i32)))
  (func (export "wait") call $wait)
  (func (export "check") loop call $check br 0 end)
  (func (export "break") call $break)
  (func (export "exit") (param i32) local.get 0 call $exit))
