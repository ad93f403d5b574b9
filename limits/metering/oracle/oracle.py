#!/usr/bin/env python3
"""Counts fuel with Wasmtime and writes the counts that the Go tests are held to.

    python3 -m venv venv && venv/bin/pip install wasmtime==42.0.0
    venv/bin/python oracle.py SPECTEST_DIR > ../testdata/wasmtime-fuel.txt

SPECTEST_DIR is internal/integration_test/spectest of wazero's module. Run it
in this directory: it calls "go run ./gen" for the random modules. Each line of
the output is

    what module calls fuel

where calls is how many calls finished and fuel their sum. Calls that trap are
made but not counted: Wasmtime does not count exactly before a trap.
"""
import glob, importlib.metadata, json, os, re, struct, subprocess, sys, tempfile
import wasmtime
from wasmtime import Val, ValType

FUEL = 1 << 62

config = wasmtime.Config()
config.consume_fuel = True
config.wasm_simd = True
config.wasm_tail_call = True
config.wasm_reference_types = True
config.wasm_multi_value = True
config.wasm_bulk_memory = True
engine = wasmtime.Engine(config)


class Tainted(Exception):
    """A call that cannot be made from Python, so counts that follow differ."""


def argument(value):
    kind, text = value["type"], value.get("value")
    if kind in ("i32", "i64"):
        bits = int(kind[1:])
        n = int(text) & ((1 << bits) - 1)
        n = n - (1 << bits) if n >> (bits - 1) else n
        return Val.i32(n) if bits == 32 else Val.i64(n)
    if kind == "f32":
        return Val.f32(struct.unpack("<f", struct.pack("<I", int(text)))[0])
    if kind == "f64":
        return Val.f64(struct.unpack("<d", struct.pack("<Q", int(text)))[0])
    if kind == "externref":
        return Val.externref(None if text == "null" else int(text))
    if kind == "funcref" and text == "null":
        return Val.funcref(None)
    raise Tainted(kind)


def call(store, func, args, counts, key):
    store.set_fuel(FUEL)
    try:
        func(store, *args)
    except (wasmtime.Trap, wasmtime.WasmtimeError):
        return
    n, fuel = counts.get(key, (0, 0))
    counts[key] = (n + 1, fuel + FUEL - store.get_fuel())


def plain_types(func_type):
    """Says whether Python can pass all values: it has no v128 nor a name for it."""
    try:
        return all(str(t) for t in list(func_type.params) + list(func_type.results))
    except AttributeError:
        return False


def script(suite, file, root, out):
    """Runs one script of the test suite and counts for each of its modules."""
    commands = json.load(open(file))["commands"]
    store = wasmtime.Store(engine)
    store.set_fuel(FUEL)
    linker = wasmtime.Linker(engine)
    linker.allow_shadowing = True
    spectest = wasmtime.Module.from_file(engine, os.path.join(root, "testdata", "spectest.wasm"))
    linker.define_instance(store, "spectest", linker.instantiate(store, spectest))
    named, files, counts, last, tainted = {}, {}, {}, None, set()
    dead = False
    for c in commands:
        if dead:
            break
        store.set_fuel(FUEL)
        if c["type"] == "module":
            try:
                module = wasmtime.Module.from_file(engine, os.path.join(os.path.dirname(file), c["filename"]))
                last = linker.instantiate(store, module)
            except Exception:
                dead = True
                continue
            files[id(last)] = (c["filename"], last)
            if "name" in c:
                named[c["name"]] = last
        elif c["type"] in ("assert_uninstantiable", "assert_unlinkable") and c["filename"].endswith(".wasm"):
            try:  # what it wrote before it failed stays
                linker.instantiate(store, wasmtime.Module.from_file(engine, os.path.join(os.path.dirname(file), c["filename"])))
            except Exception:
                pass
        elif c["type"] == "register":
            linker.define_instance(store, c["as"], named[c["name"]] if "name" in c else last)
        elif c["type"] in ("assert_return", "action", "assert_trap") and c["action"]["type"] == "invoke":
            instance = named[c["action"]["module"]] if "module" in c["action"] else last
            name = files[id(instance)][0]
            func = instance.exports(store)[c["action"]["field"]]
            try:
                if not plain_types(func.type(store)):
                    raise Tainted("v128")
                args = [argument(a) for a in c["action"]["args"]]
            except Tainted:
                tainted.add(name)
                continue
            target = {} if c["type"] == "assert_trap" else counts
            call(store, func, args, target, name)
    for name in sorted(counts):
        if name not in tainted:
            out.append("%s %s %d %d" % (suite, name, *counts[name]))


def kernel(file, out):
    """Calls run with the sizes that the Go test uses too."""
    store = wasmtime.Store(engine)
    store.set_fuel(FUEL)
    instance = wasmtime.Instance(store, wasmtime.Module.from_file(engine, file), [])
    counts = {}
    for n in (1, 7, 20):
        call(store, instance.exports(store)["run"], [n], counts, "run")
    out.append("kernel %s %d %d" % (os.path.basename(file), *counts["run"]))


def random(file, out):
    """Calls every function whose types Python can pass, in order."""
    store = wasmtime.Store(engine)
    store.set_fuel(FUEL)
    instance = wasmtime.Instance(store, wasmtime.Module.from_file(engine, file), [])
    counts = {}
    exports = instance.exports(store)
    for name in sorted(n for n in exports if re.fullmatch(r"f\d+", n)):
        func = exports[name]
        if not plain_types(func.type(store)):
            continue
        args = []
        for i, t in enumerate(func.type(store).params):
            v = i * 3 + 1
            args.append({"i32": Val.i32, "i64": Val.i64, "f64": lambda n: Val.f64(struct.unpack("<d", struct.pack("<Q", n))[0])}[str(t)](v))
        call(store, func, args, counts, "all")
    n, fuel = counts.get("all", (0, 0))
    out.append("random %s %d %d" % (os.path.basename(file), n, fuel))


def number(path):
    return [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", path)]


def main():
    root = sys.argv[1]
    here = os.path.dirname(os.path.abspath(__file__))
    out = []
    for suite in ("v2", "tail-call", "extended-const"):
        for file in sorted(glob.glob(os.path.join(root, suite, "testdata", "*.json"))):
            script(suite, file, root, out)
    for file in sorted(glob.glob(os.path.join(here, "..", "testdata", "kernels", "*.wasm"))):
        kernel(file, out)
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(["go", "run", "./gen", d, "200"], cwd=here, check=True)
        for file in sorted(glob.glob(os.path.join(d, "*.wasm")), key=number):
            random(file, out)
    print("# Fuel counted by Wasmtime %s; written by oracle/oracle.py." % importlib.metadata.version("wasmtime"))
    print("# what module calls fuel")
    print("\n".join(out))


main()
