;; Imports a function that WASI preview 1 does not have.
(module
  (import "wasi_snapshot_preview1" "path_exec" (func (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")))
