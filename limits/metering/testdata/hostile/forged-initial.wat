;; Reads it in a constant expression.
(module (global $own i64 (global.get 3)) (func))
