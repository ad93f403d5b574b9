#!/bin/sh
# Compares the fuel of toolbox tools with what Wasmtime counts for the same
# bytes, unit by unit, with their exit codes and output:
#
#     make -C ../../../toolbox dist
#     python3 -m venv venv && venv/bin/pip install wasmtime==42.0.0
#     ./tools.sh venv/bin/python
#
# It prints a line for each tool and fails on any difference. It is no part of
# "make test": another release of Go gives other modules and other counts, equal
# all the same.
set -eu
python=${1:?usage: tools.sh PYTHON, one that has wasmtime 42.0.0}
case $python in */*) python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python") ;; esac
cd "$(dirname "$0")"
dist=../../../toolbox/dist
if [ ! -f $dist/jq.wasm ]; then
	echo "tools.sh: $dist has no tools: run make -C toolbox dist" >&2
	exit 1
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
go run ./tools $dist tools/cases.json >"$tmp/ours"
"$python" tools.py $dist tools/cases.json >"$tmp/wasmtime"
awk '
	NR == FNR { want[FNR] = $0; lines++; next }
	{
		split(want[FNR], w)
		equal = $0 == want[FNR]
		printf "%-8s module %s  exit %d  fuel %12d  wasmtime %12d  %s\n", $1, $2, $3, $5, w[5], equal ? "equal" : "DIFFERENT"
		if (!equal) { bad = 1; print "  ours:     " $0; print "  wasmtime: " want[FNR] }
		seen++
	}
	END {
		if (!lines || seen != lines) { print "tools.sh: " seen + 0 " lines of ours, " lines + 0 " of wasmtime"; bad = 1 }
		exit bad
	}' "$tmp/wasmtime" "$tmp/ours"
