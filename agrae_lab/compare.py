"""Compare advantage estimators: `python -m agrae_lab.compare` is `agrae-lab compare`."""

from __future__ import annotations

import sys

from agrae_lab.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
