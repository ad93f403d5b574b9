;; Exports the global that the fuel will be in.
(module (global $own (mut i64) (i64.const 0)) (func) (export "fuel" (global 3)))
