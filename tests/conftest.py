"""Settings for all rooms."""

import os

# The forkserver and tokenizers would otherwise warn about threads; tests use one core each.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")
