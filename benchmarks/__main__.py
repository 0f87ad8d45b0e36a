"""Run all benchmarks but those of hours, or those named: each prints ratios against a baseline of the same run.

examples:
  python -m benchmarks verifier advantages
  python -m benchmarks
"""

import argparse
import importlib
import pkgutil

import benchmarks

HOURS = {"mutations"}


def main() -> None:
    """Run the benchmarks of the command line."""
    names = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_")]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"one of {', '.join(names)}; all without any")
    chosen = parser.parse_args().names or [name for name in names if name not in HOURS]
    if unknown := sorted(set(chosen) - set(names)):
        parser.error(f"unknown benchmark {', '.join(unknown)}. Choose from {', '.join(names)}")
    for name in chosen:
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
