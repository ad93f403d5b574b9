;; noop: a command that returns at once. It imports nothing, so what a run of it
;; costs is what the fleet itself costs.
(module
  (memory (export "memory") 1)
  (func (export "_start")))
