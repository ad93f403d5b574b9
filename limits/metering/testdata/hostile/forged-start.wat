(module (func) (start 1))
