#!/bin/sh
# Builds every kernel with Debian's clang and lld at several levels of
# optimisation. The results are kept beside the sources: tests need only Go.
set -eu
cd "$(dirname "$0")"
rm -f ./*.wasm
build() { # source suffix flags...
	name=${1%.c}; suffix=$2; src=$1; shift 2
	clang --target=wasm32 -nostdlib -ffreestanding -fno-builtin -Wno-everything \
		"$@" -Wl,--no-entry -Wl,--export=run -Wl,--strip-debug -Wl,-z,stack-size=65536 \
		-o "$name.$suffix.wasm" "$src"
}
for src in *.c; do
	case $src in
	simd.c) base="-msimd128 -mbulk-memory" ;;
	tail.c) base="-mtail-call -mbulk-memory" ;;
	*) base="-mbulk-memory -msign-ext -mnontrapping-fptoint" ;;
	esac
	for level in O0 O1 O2 O3 Os; do
		if [ "$src" = tail.c ] && [ $level = O0 ]; then continue; fi
		# shellcheck disable=SC2086
		build "$src" $level -$level $base
	done
	# shellcheck disable=SC2086
	build "$src" simd -O3 $base -msimd128 -ffast-math
done
