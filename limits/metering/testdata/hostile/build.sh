#!/bin/sh
# Builds every .wat with wabt's wat2wasm, without its checks: most are invalid
# on purpose. The results are kept: tests need only Go.
set -eu
cd "$(dirname "$0")"
for f in *.wat; do
	wat2wasm --no-check --enable-threads --enable-exceptions --enable-memory64 "$f" -o "${f%.wat}.wasm"
done
