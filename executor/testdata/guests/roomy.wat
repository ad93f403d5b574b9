;; Wants 64 MiB of memory before it starts.
(module
  (memory (export "memory") 1024)
  (func (export "_start")))
