"""`python -m benchmarks [name ...]`: run all benchmarks, or those named."""

import importlib
import pkgutil
import sys

import benchmarks


def main() -> None:
    names = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_")]
    chosen = sys.argv[1:] or names
    if unknown := sorted(set(chosen) - set(names)):
        sys.exit(f"unknown benchmark {', '.join(unknown)}; choose from {', '.join(names)}")
    for name in chosen:
        importlib.import_module(f"benchmarks.{name}").main()


main()
