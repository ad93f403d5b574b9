;; spin: loops until it is stopped. It imports nothing and calls nothing, so only
;; metering inside the loop itself can end it: fuel, the deadline or a cancel.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (local $i i64)
    (loop $again
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br $again))))
