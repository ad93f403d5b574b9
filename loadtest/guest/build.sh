#!/bin/sh
# Builds every .wat with wabt's wat2wasm. The results are kept: building the
# load test needs only Go.
set -eu
cd "$(dirname "$0")"
for f in *.wat; do
	wat2wasm "$f" -o "${f%.wat}.wasm"
done
