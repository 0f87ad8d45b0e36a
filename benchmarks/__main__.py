"""`python -m benchmarks [name ...]`: run all benchmarks but those of hours, or those named."""

import importlib
import pkgutil
import sys

import benchmarks

HOURS = {"mutations"}


def main() -> None:
    names = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_")]
    chosen = sys.argv[1:] or [name for name in names if name not in HOURS]
    if unknown := sorted(set(chosen) - set(names)):
        sys.exit(f"unknown benchmark {', '.join(unknown)}; choose from {', '.join(names)}")
    for name in chosen:
        importlib.import_module(f"benchmarks.{name}").main()


main()
