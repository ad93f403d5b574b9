(module (func) (export "refill" (func 1)))
