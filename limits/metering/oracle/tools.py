#!/usr/bin/env python3
"""Counts the fuel of toolbox tools with Wasmtime: tools.py DIST CASES.

Command tools does the same with package metering; tools.sh compares the two.
"""
import hashlib, importlib.metadata, json, os, sys
import wasmtime

FUEL = 1 << 62
MODULE = "wasi_snapshot_preview1"
SUCCESS, BADF, NOSYS = 0, 8, 52
CHARACTER_DEVICE = 2
TICK, SLEEP, RANDOM = 1_000, 1_000_000, 4


class Exit(Exception):
    """The guest called proc_exit."""


class Wasi:
    """The twin of wasi.go's type, which says what it answers: change both or neither."""

    def __init__(self, args, stdin):
        self.args = [a.encode() for a in args]
        self.stdin = stdin.encode()
        self.stdout = b""
        self.clock = 0

    def define(self, linker, module):
        seen = set()
        for i in module.imports:
            if i.module != MODULE or i.name in seen:
                continue
            seen.add(i.name)
            linker.define_func(MODULE, i.name, i.type, self.function(i.name, len(i.type.results)), access_caller=True)

    def function(self, name, results):
        answer = getattr(self, name, lambda *_: NOSYS)

        def call(caller, *params):
            self.caller, self.memory = caller, caller["memory"]
            errno = answer(*(p & 0xFFFFFFFF for p in params))
            return errno if results else None
        return call

    def write(self, at, data):
        if data:
            self.memory.write(self.caller, data, at)

    def read(self, at, size):
        return bytes(self.memory.read(self.caller, at, at + size))

    def write32(self, at, n):
        self.write(at, n.to_bytes(4, "little"))

    def iovec(self, at):
        b = self.read(at, 8)
        return int.from_bytes(b[:4], "little"), int.from_bytes(b[4:], "little")

    def args_sizes_get(self, count, size):
        self.write32(count, len(self.args))
        self.write32(size, sum(len(a) + 1 for a in self.args))
        return SUCCESS

    def args_get(self, argv, at):
        for i, a in enumerate(self.args):
            self.write32(argv + 4 * i, at)
            self.write(at, a + b"\0")
            at += len(a) + 1
        return SUCCESS

    def environ_sizes_get(self, count, size):
        self.write32(count, 0)
        self.write32(size, 0)
        return SUCCESS

    def environ_get(self, *_):
        return SUCCESS

    def clock_time_get(self, clock, precision, at):
        self.clock += TICK
        self.write(at, self.clock.to_bytes(8, "little"))
        return SUCCESS

    def random_get(self, at, size):
        self.write(at, bytes([RANDOM]) * size)
        return SUCCESS

    def fd_read(self, fd, iovecs, count, read):
        if fd != 0:
            return BADF
        n = 0
        if count > 0:
            at, size = self.iovec(iovecs)
            data, self.stdin = self.stdin[:size], self.stdin[size:]
            self.write(at, data)
            n = len(data)
        self.write32(read, n)
        return SUCCESS

    def fd_write(self, fd, iovecs, count, written):
        if fd not in (1, 2):
            return BADF
        n = 0
        for i in range(count):
            data = self.read(*self.iovec(iovecs + 8 * i))
            if fd == 1:
                self.stdout += data
            n += len(data)
        self.write32(written, n)
        return SUCCESS

    def fd_close(self, fd):
        return SUCCESS

    def fd_fdstat_get(self, fd, at):
        if fd > 2:
            return BADF
        self.write(at, bytes([CHARACTER_DEVICE]) + bytes(23))
        return SUCCESS

    def fd_prestat_get(self, *_):
        return BADF

    def poll_oneoff(self, subscriptions, events, count, stored):
        self.clock += SLEEP
        for i in range(count):
            s = self.read(subscriptions + 48 * i, 9)
            self.write(events + 32 * i, s[:8] + bytes(2) + s[8:9] + bytes(21))
        self.write32(stored, count)
        return SUCCESS

    def sched_yield(self):
        return SUCCESS

    def proc_exit(self, code):
        raise Exit(code)


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def count(engine, dist, case):
    with open(os.path.join(dist, case["tool"] + ".wasm"), "rb") as f:
        wasm = f.read()
    module = wasmtime.Module(engine, wasm)
    store = wasmtime.Store(engine)
    store.set_fuel(FUEL)
    wasi = Wasi([case["tool"]] + case["args"], case["stdin"])
    linker = wasmtime.Linker(engine)
    wasi.define(linker, module)
    instance = linker.instantiate(store, module)
    code = 0
    try:
        instance.exports(store)["_start"](store)
    except Exit as e:
        code = e.args[0]
    print(case["tool"], digest(wasm), code, digest(wasi.stdout), FUEL - store.get_fuel(), flush=True)


def main():
    version = importlib.metadata.version("wasmtime")
    if version.split(".")[0] != "42":
        sys.exit("tools.py: wasmtime %s is installed, want 42.0.0: its amounts are the ones that count" % version)
    config = wasmtime.Config()
    config.consume_fuel = True
    config.max_wasm_stack = 1 << 20
    engine = wasmtime.Engine(config)
    with open(sys.argv[2]) as f:
        cases = json.load(f)
    for case in cases:
        count(engine, sys.argv[1], case)


main()
