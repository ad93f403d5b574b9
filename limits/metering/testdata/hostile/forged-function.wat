;; Calls the function that asks for fuel.
(module (func (export "run") i64.const -1 call 1))
