;; Leaves the block that is put around functions that call others.
(module (func $g) (func (export "run") call $g br 1))
