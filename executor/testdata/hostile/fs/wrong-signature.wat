;; Imports fd_write with a signature of its own, to have arguments misread.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func (param i64 i64) (result i64)))
  (memory (export "memory") 1)
  (func (export "_start")))
