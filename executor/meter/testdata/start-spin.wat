;; Never ends while it is instantiated.
(module (func $f loop br 0 end) (start $f))
