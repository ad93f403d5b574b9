#!/bin/sh
# Builds every .wat with wabt's wat2wasm. The results are kept: tests need
# only Go.
set -eu
cd "$(dirname "$0")"
for f in *.wat; do
	wat2wasm --enable-tail-call --enable-extended-const "$f" -o "${f%.wat}.wasm"
done
