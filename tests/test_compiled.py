"""Compiled classes and functions that are held wrongly raise; none crashes the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHILD = """
import faulthandler, gc, importlib, pickle, pkgutil, sys, warnings
import ringward, ringward._core

faulthandler.enable()
faulthandler.dump_traceback_later(60, exit=True)
warnings.simplefilter("ignore")
WITHOUT = [(), (None,)]
GIVEN = [*((None,) * n for n in range(2, 13)), (7,), ("x",), (b"x",), ([],), (object(),), (object(), object())]
LEFT = {"__class__", "__new__", "__init_subclass__", "__subclasshook__", "__dir__"}


def tried(call, *arguments):
    try:
        return call(*arguments)
    except Exception:
        return None


def compiled():
    for name in ("ringward.events.stores.sqlite",):
        tried(importlib.import_module, name)
    for module in pkgutil.iter_modules(ringward._core.__path__, "ringward._core."):
        if "avx" not in module.name:  # the machine may lack it
            yield importlib.import_module(module.name)


def used(kind, name):
    for arguments in [*WITHOUT, *GIVEN]:
        made = tried(kind.__new__, kind)
        member = tried(getattr, made, name)
        if made is not None and callable(member):
            tried(member, *arguments)
    if made is not None:
        tried(setattr, made, name, None)


count = 0
for module in compiled():
    for name, value in sorted(vars(module).items()):
        if isinstance(value, type) and value.__module__ == module.__name__:
            for arguments in [*WITHOUT, *GIVEN]:
                tried(value, *arguments)
            for member in sorted(set(dir(value)) - LEFT):
                print(module.__name__, name, member, flush=True)
                used(value, member)
                count += 1
            made = tried(value.__new__, value)
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                tried(pickle.dumps, made, protocol)
        elif callable(value) and type(value).__name__ == "builtin_function_or_method":
            print(module.__name__, name, flush=True)
            for arguments in [*WITHOUT, *GIVEN]:
                tried(value, *arguments)
            count += 1
gc.collect()
print(count)
"""


@pytest.mark.slow
def test_compiled_things_without_init_and_with_none_crash_nothing():
    """`GroupCommit.__new__` without `__init__`, `_Scratch.__reduce__` and `difference(None, ...)` ended the process."""
    child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=120, check=False)
    *_, last = child.stdout.splitlines()
    assert child.returncode == 0, (last, child.stderr[-2000:])
    assert int(last) > 300
