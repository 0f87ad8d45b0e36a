"""Audit of a published Pass@k table: `python -m analysis audit table.csv`. docs/audit.md is the manual.

    table.py      reader: CSV → curves, one per row of the published table
    within.py     checks within a row
    between.py    checks between rows
    checks.py     all checks
    coherence.py  search for one set of samples that gives a row
    findings.py   findings, and their Markdown and CSV
    command.py    arguments, terminal, files, exit status
    rates.py      simulated false alarms and power of all checks

A finding is arithmetic on printed numbers: the place, the size, the tolerance and possible innocent causes. It does
not name the actual cause.
"""

from analysis.audit.command import main

__all__ = ["main"]
