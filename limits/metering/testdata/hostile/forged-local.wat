;; Uses the local that is added for the length of memory.fill.
(module (memory 1) (func (export "run") (param i32)
  local.get 0 local.get 0 local.get 0 memory.fill
  local.get 1 drop))
