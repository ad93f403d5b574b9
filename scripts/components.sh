#!/bin/sh
# Rebuilds the components of limits/component/testdata from their sources, with
# two versions of the component tools as npm ships them, since what a component
# looks like inside is up to the tool's version. The results are committed, so
# tests need only Go. Wants clang with the wasm32 target, wasm-ld, wasi-libc and
# npm.
#
#   scripts/components.sh [DIRECTORY FOR THE TOOLS]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
data=$root/limits/component/testdata
tools=${1:-$(mktemp -d)}
new=1.35.0 middle=1.15.4 old=1.0.0
for v in $new $middle $old; do
	if [ ! -e "$tools/$v/node_modules" ]; then
		mkdir -p "$tools/$v"
		(cd "$tools/$v" && npm install --silent --ignore-scripts --omit=optional "@bytecodealliance/jco@$v")
	fi
done
jco() { v=$1; shift; "$tools/$v/node_modules/.bin/jco" "$@"; }
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cd "$build"

cc() { clang --target=wasm32-wasi --sysroot=/usr -std=c11 -Wall -Wl,-z,stack-size=65536 -Wl,--strip-debug "$@"; }

# wit VERSION WORLD: the interfaces, in the version that a guest names, and its
# world alone, as older tools take only one.
wit() {
	mkdir -p "wit-$1/deps"
	cp -r "$tools/$new"/node_modules/@bytecodealliance/jco/lib/wit/builtin/0.2.12/* "wit-$1/deps/"
	find "wit-$1" -name '*.wit' -exec sed -i "s/0\.2\.12/$1/g" {} +
	sed -n "/^package/p; /^world $2 /,/^}/p" "$data/worlds.wit" | sed "s/VERSION/$1/g" >"wit-$1/world.wit"
}

cc -Os -nostdlib -o say.core "$data/say.c"
for v in $new $middle $old; do
	jco $v new say.core --wasi-command -o "$data/say-jco$v.wasm"
done

# What makes HTTP requests, with the versions that tools in the wild have.
wit 0.2.9 fetch
sed 's/@0\.2\.0/@0.2.9/' "$root/executor/testdata/guests/fetch.c" >fetch.c
cc -O1 -nodefaultlibs -lc -I "$root/executor/testdata/guests" -o fetch.core fetch.c
jco $middle embed fetch.core --wit wit-0.2.9 --world-name fetch -o fetch.embedded
jco $middle new fetch.embedded --wasi-command -o "$data/fetch.wasm"

# A program for WASI 0.2 alone, without an adapter.
wit 0.2.3 native
cc -Os -nostdlib -Wl,--no-entry -o native.core "$data/native.c"
jco $middle embed native.core --wit wit-0.2.3 --world-name native -o native.embedded
for v in $new $old; do
	jco $v new native.embedded -o "$data/native-jco$v.wasm"
done

# A program that is started as one for WASI 0.2 and calls WASI 0.1, with the
# other adapter, as compilers make them that change over from one to the other.
rm -r wit-0.2.3
wit 0.2.3 reactor
cc -Os -nostdlib -Wl,--no-entry -DRUN -o reactor.core "$data/say.c"
jco $middle embed reactor.core --wit wit-0.2.3 --world-name reactor -o reactor.embedded
for v in $new $middle $old; do
	jco $v new reactor.embedded --wasi-reactor -o "$data/reactor-jco$v.wasm"
done
