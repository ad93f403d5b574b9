;; fuel 0
(module)
