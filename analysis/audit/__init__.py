"""Does a published Pass@k table fit together? `python -m analysis audit table.csv`; docs/audit.md has the manual.

    table.py      CSV → curves (one row of a published table each); refuses what it cannot read
    within.py     what must hold within a row: pure functions, a curve → findings
    between.py    what must hold, or seldom fails, between rows
    checks.py     all of them
    coherence.py  whether one set of samples could have produced a row at all
    findings.py   what a finding is, and its Markdown, CSV and JSON
    command.py    arguments, terminal, files, exit status
    rates.py      false alarms and power of all checks, by simulation

A finding is arithmetic on printed numbers. It says what, where, by how much and with what tolerance, and what may
innocently have caused it; why it is so, it does not know.
"""

from analysis.audit.command import main

__all__ = ["main"]
