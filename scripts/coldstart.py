"""Starts tools on Wasmtime and as native processes, for scripts/coldstart.sh.

Prints milliseconds of processor time: compile and load (of code that Wasmtime
has compiled before) once or as a median of nine, the rest as medians of many.
"""
import os
import statistics
import subprocess
import sys
import tempfile
import time

import wasmtime

dist, native, tool, stdin, *args = sys.argv[1:]


def timed(f):
    start = time.thread_time_ns()
    result = f()
    return (time.thread_time_ns() - start) / 1e6, result


def on_wasmtime(fuel):
    config = wasmtime.Config()
    config.consume_fuel = fuel
    config.parallel_compilation = False  # so that the thread's time is all of it
    engine = wasmtime.Engine(config)
    with open(f"{dist}/{tool}.wasm", "rb") as f:
        wasm = f.read()
    compile_ms, module = timed(lambda: wasmtime.Module(engine, wasm))
    loads, instantiates, runs, alls = [], [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        code = os.path.join(scratch, "code")
        with open(code, "wb") as f:
            f.write(module.serialize())
        for _ in range(9):
            ms, module = timed(lambda: wasmtime.Module.deserialize_file(engine, code))
            loads.append(ms)
        given = os.path.join(scratch, "stdin")
        with open(given, "w") as f:
            f.write(stdin)
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        for _ in range(200):
            def instantiate():
                store = wasmtime.Store(engine)
                if fuel:
                    store.set_fuel(2**62)
                wasi = wasmtime.WasiConfig()
                wasi.argv = ["tool", *args]
                wasi.stdin_file = given
                wasi.stdout_file = os.devnull
                wasi.stderr_file = os.devnull
                store.set_wasi(wasi)
                return store, linker.instantiate(store, module)

            def run(store, instance):
                try:
                    instance.exports(store)["_start"](store)
                except wasmtime.ExitTrap as e:
                    if e.code not in (0, 2):
                        raise

            begin = time.thread_time_ns()
            i, (store, instance) = timed(instantiate)
            r, _ = timed(lambda: run(store, instance))
            del store, instance
            alls.append((time.thread_time_ns() - begin) / 1e6)
            instantiates.append(i)
            runs.append(r)
    m = statistics.median
    print(f"{tool:9} wasmtime{' with fuel' if fuel else ''}: compile {compile_ms:.0f}  load {m(loads):.2f}"
          f"  instantiate {m(instantiates):.3f}  run {m(runs):.3f}  all {m(alls):.3f}")


def as_process():
    times = []
    for _ in range(100):
        p = subprocess.Popen([f"{native}/{tool}", *args], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        p.stdin.write(stdin.encode())
        p.stdin.close()
        _, _, used = os.wait4(p.pid, 0)
        p.returncode = 0
        times.append((used.ru_utime + used.ru_stime) * 1e3)
    print(f"{tool:9} native process: all {statistics.median(times):.3f} (user and system time of the process alone)")


on_wasmtime(True)
on_wasmtime(False)
if os.path.exists(f"{native}/{tool}"):
    as_process()
