"""Reader of a published Pass@k table in CSV. A bad cell raises AuditError with file, line and column.

Tidy: columns method, k, pass_at_k. Wide: column method, and one column for each k, headed 4, k=4 or pass@4.
Optional in both: table, model, benchmark; n (samples a problem), problems, runs (over which the table averages). A tidy
table may also have plus_minus. Values are percent, or shares if none in the file exceeds 1. An empty cell is a value
that was not published.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

NAMES = ("table", "model", "benchmark", "method")
SIZES = ("n", "problems", "runs")
MAX_K = 16384  # with more samples the linear programme over n + 1 columns takes minutes
MAX_DECIMALS = 5  # in percent; the solver of the linear programme resolves no more

# Number of problems of well-known benchmarks; names are compared without case, spaces and punctuation.
PROBLEMS = {
    "math": 5000,
    "math500": 500,
    "gsm8k": 1319,
    "amc23": 40,
    "aime24": 30,
    "aime25": 30,
    "aime2024": 30,
    "aime2025": 30,
    "minervamath": 272,
}

_K_COLUMN = re.compile(r"(?:pass@|k\s*=\s*)?(\d+)", re.IGNORECASE)


class AuditError(ValueError):
    """Table or argument that cannot be audited. The message names the place, the fault and the remedy."""


@dataclass(frozen=True)
class Cell:
    """Published number as a share, with its line in the file."""

    line: int
    k: int
    value: float
    plus_minus: float | None = None


@dataclass(frozen=True)
class Curve:
    """Pass@k of one method on one benchmark, as a table prints it."""

    table: str
    model: str
    benchmark: str
    method: str
    cells: tuple[Cell, ...]  # by k, each k once
    decimals: int  # of the printed percent values
    n: int | None = None  # None: not stated
    problems: int | None = None
    runs: int | None = None
    repeated: tuple[Cell, ...] = field(default=(), compare=False)  # repeated cells of the same k

    @property
    def rounding_error(self) -> float:
        """Largest rounding error, as a share: half a unit of the last printed place."""
        return 0.5 * 10.0 ** (-self.decimals - 2)

    @property
    def ks(self) -> tuple[int, ...]:
        return tuple(cell.k for cell in self.cells)

    @property
    def num_samples(self) -> int:
        """Stated n, else the largest k, which is the smallest possible n."""
        return self.n if self.n is not None else max(self.ks)

    def percent(self, share: float) -> str:
        """Return a share as the table prints it."""
        return f"{100 * share:.{max(self.decimals, 0)}f}"


def read_curves(path: Path, problems: Mapping[str, int] | None = None) -> list[Curve]:
    """Return the curves of a file in its order. `problems` (benchmark → number) takes precedence over PROBLEMS.

    Raises:
        AuditError: the file is missing or not CSV text, a column is missing, or a cell has an invalid value.
    """
    rows = list(_rows(path))
    tidy = {"k", "pass_at_k"} <= rows[0][1].keys()
    entries = [entry for line, row in rows for entry in (_tidy(path, line, row) if tidy else _wide(path, line, row))]
    if not entries:
        raise AuditError(f"{path}: no Pass@k value, every cell below the header is empty; fill in the published values")
    in_shares = max(entry.value for entry in entries) <= 1
    return _curves(path, entries, in_shares=in_shares, problems=dict(problems or {}))


@dataclass(frozen=True)
class _Entry:
    """Printed value with its line, names and sizes."""

    line: int
    names: tuple[str, ...]
    k: int
    value: Decimal
    plus_minus: Decimal | None
    sizes: tuple[int | None, ...]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and cells of every row that is not blank, after a check of the header."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            _check_header(path, header)
            empty = True
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    raise AuditError(
                        f"{path}, line {reader.line_num}: {len(cells)} cells where the header has {len(header)}; "
                        "quote cells that contain commas"
                    )
                empty = False
                yield reader.line_num, dict(zip(header, (_printable(cell) for cell in cells), strict=True))
    except FileNotFoundError as error:
        raise AuditError(f"{path}: no such file; name a CSV table: python -m analysis audit table.csv") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AuditError(f"{path}: not readable as CSV text in UTF-8 ({error}); save it as CSV again") from error
    if empty:
        raise AuditError(f"{path}: a header but no rows; add one row per published value or method")


def _check_header(path: Path, header: list[str]) -> None:
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise AuditError(f"{path}, line 1: the column {twice[0]!r} occurs twice; rename one")
    wide = [name for name in header if _K_COLUMN.fullmatch(name)]
    if "method" not in header or not ({"k", "pass_at_k"} <= set(header) or wide):
        raise AuditError(
            f"{path}, line 1: columns {', '.join(header) or 'none'}; a table needs method, k and pass_at_k, or method "
            "and a column for each k (4, k=4 or pass@4)"
        )


def _printable(cell: str) -> str:
    """Return the text of a cell without control characters and line breaks, which could disturb a terminal."""
    return "".join(c if c.isprintable() else " " for c in cell).strip()


def _tidy(path: Path, line: int, row: Mapping[str, str]) -> Iterator[_Entry]:
    if row["pass_at_k"]:
        k = _count(path, line, "k", row["k"])
        yield _entry(path, line, row, k, "pass_at_k", row.get("plus_minus", ""))


def _wide(path: Path, line: int, row: Mapping[str, str]) -> Iterator[_Entry]:
    for name, text in row.items():
        if text and (matched := _K_COLUMN.fullmatch(name)):
            yield _entry(path, line, row, _count(path, 1, name, matched[1]), name, "")


def _entry(path: Path, line: int, row: Mapping[str, str], k: int, column: str, plus_minus: str) -> _Entry:
    if k > MAX_K:
        raise AuditError(f"{path}, line {line}: k = {k} is too large; the audit computes k up to {MAX_K}")
    value = _number(path, line, column, row[column])
    return _Entry(
        line=line,
        names=tuple(row.get(name, "") for name in NAMES),
        k=k,
        value=value,
        plus_minus=_number(path, line, "plus_minus", plus_minus) if plus_minus else None,
        sizes=tuple(_count(path, line, name, row[name]) if row.get(name) else None for name in SIZES),
    )


def _number(path: Path, line: int, column: str, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or not 0 <= number <= 100:
        raise AuditError(f"{path}, line {line}, column {column}: {text!r} is not a number from 0 to 100")
    return number


def _count(path: Path, line: int, column: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 12 or int(text) < 1:
        raise AuditError(f"{path}, line {line}, column {column}: {text!r} is not a whole number of at least 1")
    return int(text)


def _curves(path: Path, entries: list[_Entry], *, in_shares: bool, problems: dict[str, int]) -> list[Curve]:
    scale = 1.0 if in_shares else 0.01
    places: dict[str, int] = {}  # one number of decimals per table, since software may have turned "90.0" into "90"
    grouped: dict[tuple[str, ...], list[_Entry]] = {}
    for entry in entries:
        table = entry.names[0]
        decimals = min(-int(entry.value.as_tuple().exponent) - (2 if in_shares else 0), MAX_DECIMALS)
        places[table] = max(places.get(table, decimals), decimals)
        grouped.setdefault(entry.names, []).append(entry)
    known = {**PROBLEMS, **{normalized_name(name): count for name, count in problems.items()}}
    curves = []
    for names, rows in grouped.items():
        n, stated, runs = (_only(path, rows, i) for i in range(len(SIZES)))
        cells = [_cell(row, scale) for row in sorted(rows, key=lambda row: row.k)]
        first = {cell.k: cell for cell in reversed(cells)}
        curves.append(
            Curve(
                table=names[0],
                model=names[1],
                benchmark=names[2],
                method=names[3],
                cells=tuple(cell for cell in cells if first[cell.k] is cell),
                repeated=tuple(cell for cell in cells if first[cell.k] is not cell),
                decimals=places[names[0]],
                n=n,
                problems=stated or known.get(normalized_name(names[2])),
                runs=runs,
            )
        )
    return curves


def normalized_name(benchmark: str) -> str:
    """Return a benchmark's name in lower case without spaces and punctuation."""
    return "".join(c for c in benchmark.lower() if c.isalnum())


def _cell(entry: _Entry, scale: float) -> Cell:
    plus_minus = None if entry.plus_minus is None else float(entry.plus_minus) * scale
    return Cell(entry.line, entry.k, float(entry.value) * scale, plus_minus)


def _only(path: Path, rows: Iterable[_Entry], index: int) -> int | None:
    """Return a curve's n, problems or runs, which must be the same wherever it is stated."""
    stated = {entry.sizes[index]: entry.line for entry in rows if entry.sizes[index] is not None}
    if len(stated) > 1:
        (a, line_a), (b, line_b) = list(stated.items())[:2]
        raise AuditError(
            f"{path}, line {line_b}, column {SIZES[index]}: {b}, but {a} on line {line_a} of the same curve; "
            "a curve has one"
        )
    return next(iter(stated), None)
