#!/bin/sh
# Builds every .wat with wabt's wat2wasm, with the functions' names. The
# results are kept: tests need only Go.
set -eu
cd "$(dirname "$0")"
for f in *.wat; do
	wat2wasm --debug-names --enable-tail-call "$f" -o "${f%.wat}.wasm"
done
