"""The audit of published Pass@k tables: planted faults are found, genuine tables pass, what cannot be read is refused.

What it must find in the paper's tables was read off them by hand before the audit was written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.audit import main
from analysis.audit.between import claim_fails
from analysis.audit.checks import audit
from analysis.audit.coherence import least_deviation
from analysis.audit.command import scope
from analysis.audit.findings import Finding
from analysis.audit.rates import FAULTY, GENUINE, measure
from analysis.audit.table import AuditError, Curve, read_curves
from analysis.published import PAPER_TABLES
from analysis.statistics.passk import KS, pass_at_k

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def paper() -> list[Finding]:
    return audit(read_curves(PAPER_TABLES))


def found(findings: Sequence[Finding], check: str) -> list[Finding]:
    return [f for f in findings if f.check == check]


def tidy(rows: dict[str, Sequence[float]], ks: Sequence[int] = KS, decimals: int = 1, **columns: object) -> str:
    """A tidy table of methods in percent."""
    lines = [",".join(["benchmark", "method", "k", "pass_at_k", *columns])]
    for method, values in rows.items():
        for k, value in zip(ks, values, strict=True):
            lines.append(",".join(map(str, ["AMC23", method, k, f"{value:.{decimals}f}", *columns.values()])))
    return "\n".join(lines) + "\n"


def genuine_row(seed: int = 0, num_problems: int = 40) -> list[float]:
    rng = np.random.default_rng(seed)
    p_P = 1 / (1 + np.exp(-rng.normal(-1.5, 2.0, num_problems)))
    return list(100 * pass_at_k(rng.binomial(256, p_P), 256, KS).mean(axis=0))


def checks_of(path: Path) -> list[str]:
    return [f.check for f in audit(read_curves(path))]


# --- the paper's tables


def test_the_paper_s_bends_are_found(paper: list[Finding]) -> None:
    """By how many points each rises more than a concave curve may, beyond which rounding would explain 0.3."""
    bends = {(f.table, f.benchmark, f.method, f.ks): round(100 * f.by, 1) for f in found(paper, "concave")}
    assert bends == {
        ("3", "MATH", "Dr.GRPO + A-GRAE", (4, 8, 16)): 0.6,
        ("3", "AIME 2025", "Dr.GRPO + A-GRAE", (32, 64, 128)): 3.9,
        ("3", "AMC23", "Dr.GRPO + A-GRAE", (64, 128, 256)): 2.7,
        ("5", "AMC23", "GRPO + A-GRAE", (32, 64, 128)): 0.7,
        ("5", "AMC23", "DAPO + A-GRAE", (32, 64, 128)): 0.5,
        ("6", "MATH", "GRPO + A-GRAE (group level)", (64, 128, 256)): 0.8,
        ("7", "MATH", "GRPO + ASS (group level)", (64, 128, 256)): 0.8,
        ("7", "AIME 2025", "Easy-Focused", (64, 128, 256)): 0.6,
    }
    assert {round(100 * f.tolerance, 9) for f in found(paper, "concave")} == {0.3}


def test_the_paper_s_shares_that_no_number_of_problems_gives_are_found(paper: list[Finding]) -> None:
    cells = {(f.table, f.benchmark, f.statement.split()[0]) for f in found(paper, "multiples")}
    aime = {"3": ["47.3"], "5": ["74.3", "73.6", "75.0", "74.0", "74.6"], "6": ["52.3"], "7": ["52.3", "50.3"]}
    expected = {(table, "AIME 2025", value) for table, values in aime.items() for value in values}
    assert cells == {*expected, ("3", "AMC23", "92.3")}


def test_the_paper_s_rows_that_no_samples_give_are_found(paper: list[Finding]) -> None:
    """In the main table 13 of 27, with the deviations of an independent computation."""
    main_table = {(f.benchmark, f.method): 100 * f.by for f in found(paper, "coherence") if f.table == "3"}
    assert len(main_table) == 13
    maths = {method: by for (benchmark, method), by in main_table.items() if benchmark == "MATH"}
    assert len(maths) == 8
    assert "W-REINFORCE" not in maths
    assert (round(min(maths.values()), 2), round(max(maths.values()), 2)) == (0.10, 0.31)
    others = {key: round(by, 2) for key, by in main_table.items() if key[0] != "MATH"}
    assert others == {
        ("AIME 2025", "Dr.GRPO + A-GRAE"): 0.92,
        ("AIME 2025", "GRPO + A-GRAE"): 0.26,
        ("AIME 2025", "DAPO"): 0.15,
        ("AMC23", "Dr.GRPO + A-GRAE"): 0.47,
        ("AMC23", "Dr.GRPO"): 0.12,
    }


def test_the_paper_s_repeats_and_equal_rows_are_found(paper: list[Finding]) -> None:
    (repeat,) = found(paper, "repeats")
    assert (repeat.table, repeat.benchmark, repeat.method, repeat.ks) == ("3, 6, 7", "AMC23", "GRPO", (1,))
    assert repeat.by == pytest.approx(0.01)
    equal = {(f.table, f.benchmark, f.method): f.statement for f in found(paper, "identical rows")}
    assert equal == {
        ("3", "AMC23", "W-REINFORCE"): "equals DAPO in 4 of 9 cells (k = 1, 8, 16, 256)",
        ("7", "AMC23", "GRPO"): "equals Positive-Dominant in all 9 cells (k = 1, 2, 4, 8, 16, 32, 64, 128, 256)",
    }


def test_the_paper_s_plus_minus_is_named(paper: list[Finding]) -> None:
    *at_100, line = found(paper, "plus-minus")
    assert sorted(round(100 * f.by, 1) for f in at_100) == [1.3, 1.4, 1.9]
    assert {(f.benchmark, f.ks) for f in at_100} == {("AMC23", (256,))}
    assert "27 of 27 rows" in line.statement
    assert line.by == pytest.approx(0.994, abs=5e-4)


def test_nothing_else_is_found_in_the_paper(paper: list[Finding]) -> None:
    assert {f.check for f in paper} == {
        "concave", "multiples", "coherence", "repeats", "identical rows", "plus-minus"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("above", "below", "table", "expected"),
    [
        (
            "GRPO + A-GRAE (full)",
            "GRPO + A-GRAE (group level)",
            "6",
            {"MATH": (8, 16, 64, 128, 256), "AIME 2025": (4, 64, 128, 256), "AMC23": (128, 256)},
        ),
        (
            "GRPO + A-GRAE",
            "W-REINFORCE",
            "3",
            {"MATH": (64, 128, 256), "AIME 2025": (4, 16, 32, 64), "AMC23": (64, 128)},
        ),
        ("GRPO + A-GRAE (full)", "GRPO + A-GRAE (sample level)", "6", {"AIME 2025": (64,), "AMC23": (2,)}),
    ],
)
def test_where_the_paper_s_text_fails_in_its_tables(above, below, table, expected) -> None:
    """Ties fail a strict claim too; here the cells in which `below` is truly ahead are compared."""
    curves = read_curves(PAPER_TABLES)
    ahead = {}
    for f in claim_fails(curves, above, below):
        assert f.table == table
        named = {curve.method: {cell.k: cell.value for cell in curve.cells} for curve in curves
                 if (curve.table, curve.benchmark) == (table, f.benchmark)}  # fmt: skip
        assert all(named[above][k] <= named[below][k] + 1e-9 for k in f.ks)
        strictly = tuple(k for k in f.ks if named[above][k] < named[below][k] - 1e-9)
        if strictly:
            ahead[f.benchmark] = strictly
    assert ahead == expected


# --- planted faults


def test_a_genuine_table_passes(write: Write) -> None:
    rows = {f"m{i}": genuine_row(i) for i in range(6)}
    assert checks_of(write(tidy(rows))) == []
    assert checks_of(write(tidy(rows, decimals=3))) == []
    assert checks_of(write(tidy({m: [v / 100 for v in row] for m, row in rows.items()}, decimals=4))) == []


def test_a_fall_is_found(write: Write) -> None:
    row = genuine_row()
    row[5] = row[4] - 0.2
    (fall,) = found(audit(read_curves(write(tidy({"m": row})))), "monotone")
    assert fall.ks == (16, 32)
    assert fall.lines == (6, 7)
    assert 100 * fall.by == pytest.approx(round(row[4], 1) - round(row[5], 1))


@pytest.mark.parametrize("excess", [0.1, 0.4])
def test_concavity_allows_rounding_and_no_more(write: Write, excess: float) -> None:
    """On the grid 2, 4, 10 the second step is three times the first: rounding adds up to 0.05 · 2 · (1 + 3) = 0.4."""
    row = [30.0, 40.0, 70.0 + excess]
    findings = found(audit(read_curves(write(tidy({"m": row}, ks=(2, 4, 10))))), "concave")
    assert findings == []
    row[2] = 70.5
    (bend,) = found(audit(read_curves(write(tidy({"m": row}, ks=(2, 4, 10))))), "concave")
    assert (bend.ks, round(100 * bend.by, 9), round(100 * bend.tolerance, 9)) == ((2, 4, 10), 0.5, 0.4)


def test_pass_at_2_is_at_most_twice_pass_at_1(write: Write) -> None:
    (bend,) = found(audit(read_curves(write(tidy({"m": [10.0, 20.2]}, ks=(1, 2))))), "concave")
    assert bend.ks == (0, 1, 2)  # the Pass@0 = 0 is known, so rounding adds 0.05 · 3 only
    assert bend.tolerance == pytest.approx(0.0015)


def test_multiples_need_k_at_n(write: Write) -> None:
    text = tidy({"m": [50.0, 61.3]}, ks=(8, 16))
    (found_one,) = found(audit(read_curves(write(text))), "multiples")
    assert "61.3 at k = n = 16 lies between the possible 60.0 and 62.5 of 40 problems" in found_one.statement
    for columns in ({"n": 32}, {"runs": 16}, {"problems": 1000}):
        assert "multiples" not in checks_of(write(tidy({"m": [50.0, 61.3]}, ks=(8, 16), **columns)))
    assert "multiples" in checks_of(write(tidy({"m": [50.0, 61.3]}, ks=(8, 16), n=16)))


def test_pass_at_1_alone_says_nothing_about_n(write: Write) -> None:
    assert checks_of(write(tidy({"m": [61.3]}, ks=(1,)))) == []
    assert checks_of(write(tidy({"m": [61.3]}, ks=(1,), n=1))) == ["multiples"]


def test_k_above_n_is_found_and_stops_what_needs_n(write: Write) -> None:
    assert checks_of(write(tidy({"m": [50.0, 61.3]}, ks=(8, 16), n=8))) == ["k within n"]


def test_a_huge_n_takes_no_huge_programme(write: Write) -> None:
    assert checks_of(write(tidy({"m": [50.0, 61.3]}, ks=(8, 16), n=999_999_999_999))) == []
    assert "coherence" in " ".join(checks_of(write(tidy({"m": [10.0, 90.0]}, ks=(8, 16), n=999_999_999_999))))


def test_one_table_may_repeat_a_cell_only_alike(write: Write) -> None:
    text = "table,method,k,pass_at_k\n1,m,1,50.0\n1,m,2,60.0\n1,m,2,60.0\n2,m,1,50\n"
    assert checks_of(write(text)) == []
    (repeat,) = audit(read_curves(write(text.replace("m,2,60.0\n2", "m,2,60.1\n2"))))
    assert (repeat.check, repeat.lines) == ("repeats", (3, 4))
    assert "60.0 on line 3, 60.1 on line 4" in repeat.statement


def test_repeats_may_differ_by_rounding_to_other_places(write: Write) -> None:
    text = "table,method,k,pass_at_k\n1,m,1,50.0\n1,m,2,60.0\n2,m,1,{}\n"
    assert checks_of(write(text.format("50.04"))) == []
    assert checks_of(write(text.format("50.24"))) == ["repeats"]


def test_a_copied_row_is_found_and_a_saturated_one_is_not(write: Write) -> None:
    row = genuine_row()
    assert checks_of(write(tidy({"a": row, "b": row}))) == ["identical rows"]
    full = [99.9, 100.0, 100.0, 100.0]
    assert checks_of(write(tidy({"a": full, "b": full}, ks=KS[:4]))) == []


def test_rows_that_are_close_share_cells_by_chance_alone(write: Write) -> None:
    row = genuine_row(1)
    near = [row[0] + 0.3, row[1] + 0.2, *row[2:]]
    assert "identical rows" not in checks_of(write(tidy({"a": row, "b": near})))


def test_plus_minus_at_100(write: Write) -> None:
    text = "method,k,pass_at_k,plus_minus\n{}"
    rows = [f"m,{k},{v},{s}\n" for k, v, s in ((1, 80.0, 2.0), (2, 95.0, 1.0), (4, 100.0, 0.2))]
    assert (
        checks_of(write(text.format("".join(rows)))) == []
    )  # sixteen runs whose mean was rounded up may spread so far
    rows[2] = "m,4,100.0,0.4\n"
    assert checks_of(write(text.format("".join(rows)))) == ["plus-minus"]


def test_straight_lines_of_plus_minus_need_several_rows(write: Write) -> None:
    def table(num_methods: int, bend: float) -> str:
        lines = ["method,k,pass_at_k,plus_minus"]
        for method in range(num_methods):
            for i, (k, value) in enumerate(zip(KS, genuine_row(method, 300), strict=True)):
                lines.append(f"{method},{k},{value:.1f},{0.3 + 0.1 * i - bend * i * i:.1f}")
        return "\n".join(lines)

    assert checks_of(write(table(3, 0.0))) == ["plus-minus"]
    assert checks_of(write(table(2, 0.0))) == []
    assert checks_of(write(table(3, 0.012))) == []


# --- coherence


@st.composite
def true_curves(draw: st.DrawFn) -> tuple[np.ndarray, list[int], int]:
    """Counts of any problems with any n, averaged over any of them, at any k up to n."""
    num_samples = draw(st.integers(2, 300))
    counts = draw(st.lists(st.integers(0, num_samples), min_size=1, max_size=40))
    ks = sorted(draw(st.sets(st.integers(1, num_samples), min_size=1, max_size=9)))
    return pass_at_k(np.array(counts), num_samples, ks).mean(axis=0), ks, num_samples


@settings(max_examples=40, deadline=None)
@given(true_curves(), st.integers(0, 4))
def test_every_true_curve_is_within_rounding(curve: tuple[np.ndarray, list[int], int], decimals: int) -> None:
    values, ks, num_samples = curve
    printed = values.round(decimals + 2)
    by, nearest = least_deviation(printed, ks, num_samples)
    assert by <= 0.5 * 10.0 ** (-decimals - 2) + 1e-8
    assert np.abs(nearest - printed).max() == pytest.approx(by, abs=1e-8)
    lenient, _ = least_deviation(printed, ks, max(ks))  # n unknown, so taken too small
    assert lenient <= 0.5 * 10.0 ** (-decimals - 2) + 1e-8


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_true_success_rates_and_the_plug_in_are_coherent_too(rates: list[float]) -> None:
    values = 1 - (1 - np.array(rates)[:, None]) ** np.array(KS)
    assert least_deviation(values.mean(axis=0), KS, 256)[0] < 1e-7


def test_the_least_deviation_where_it_is_known() -> None:
    """p(1) = a, p(2) = b with n = 2: columns (0, 0), (½, 1), (1, 1). Below the chord b = a the nearest has t = (a−b)/2;
    above b = 2a it is b − t = 2(a + t)."""
    assert least_deviation(np.array([0.6, 0.5]), [1, 2], 2)[0] == pytest.approx(0.05)
    assert least_deviation(np.array([0.2, 0.55]), [1, 2], 2)[0] == pytest.approx(0.05)
    assert least_deviation(np.array([0.3, 0.5]), [1, 2], 2)[0] == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(ValueError, match="k=4: Pass@k does not exist for k above n = 2"):
        least_deviation(np.array([0.1, 0.2]), [2, 4], 2)


def test_genuine_tables_pass_and_apart_samples_do_not() -> None:
    """Three tables of each kind; the slow test and docs/audit.md have more."""
    for setting in (GENUINE[0], GENUINE[2]):
        assert measure(setting, num_tables=3, seed=1) == dict.fromkeys(measure(setting, num_tables=0, seed=0), (0, 0))
    apart = next(setting for setting in FAULTY if "apart" in setting.name and setting.num_problems == 30)
    assert measure(apart, num_tables=3, seed=1)["coherence"][0] >= 18  # of 27


@pytest.mark.slow
@pytest.mark.parametrize("setting", GENUINE, ids=lambda setting: setting.name)
def test_no_false_alarm_in_300_genuine_rows(setting) -> None:
    """The checks that are theorems never err; the other two err in at most 1 of 34 tables."""
    named = measure(setting, num_tables=34, seed=2)
    for check, (curves, tables) in named.items():
        assert (tables <= 1) if check in ("identical rows", "plus-minus") else (curves == 0), check


# --- reading


def test_wide_and_tidy_tables_say_the_same(write: Write) -> None:
    rows = {"a": genuine_row(0), "b": genuine_row(1)}
    header = "Benchmark,Method," + ",".join(f"pass@{k}" for k in KS)
    wide = [f"AMC23,{m}," + ",".join(f"{v:.1f}" for v in row) for m, row in rows.items()]
    first, second = (read_curves(write(text)) for text in ("\n".join([header, *wide]), tidy(rows)))

    def values(curves: list[Curve]) -> list:
        return [(c.benchmark, c.method, c.problems, [(x.k, x.value) for x in c.cells]) for c in curves]

    assert values(first) == values(second)
    assert [cell.line for cell in first[1].cells] == [3] * len(KS)


def test_what_was_not_published_is_left_out(write: Write) -> None:
    (curve,) = read_curves(write("\ufeffmethod,1,k=2,4\n\n,,,\nm,50.0,,70.0\n"))
    assert curve.ks == (1, 4)
    assert {cell.line for cell in curve.cells} == {4}


def test_decimals_are_the_table_s(write: Write) -> None:
    """ "90" beside "61.25" was printed 90.00."""
    curves = read_curves(write("table,method,k,pass_at_k\n1,m,1,61.25\n1,m,2,90\n2,m,1,61\n"))
    assert [curve.decimals for curve in curves] == [2, 0]
    assert [curve.rounding_error for curve in curves] == pytest.approx([5e-5, 5e-3])
    (tiny,) = read_curves(write("method,k,pass_at_k\nm,1,1e-9999\n"))
    assert tiny.decimals == 5


BAD = {
    "": "columns none; a table needs method, k and pass_at_k",
    "method,k,pass_at_k\n": "a header but no rows",
    "method,k,pass_at_k\nm,1,\n": "every cell below the header is empty",
    "method,k\nm,1\n": "columns method, k; a table needs",
    "k,pass_at_k\n1,2\n": "columns k, pass_at_k; a table needs method",
    "method,k,pass_at_k,k\nm,1,2,1\n": "line 1: the column 'k' occurs twice",
    "method,k,pass_at_k\nm,1\n": "line 2: 2 cells where the header has 3",
    "method,k,pass_at_k\nm,1,5\nm,2,abc\n": "line 3, column pass_at_k: 'abc' is not a number from 0 to 100",
    "method,k,pass_at_k\nm,1,101\n": "'101' is not a number from 0 to 100",
    "method,k,pass_at_k\nm,1,-1\n": "'-1' is not a number from 0 to 100",
    "method,k,pass_at_k\nm,1,nan\n": "'nan' is not a number",
    "method,k,pass_at_k\nm,1,63.4±0.3\n": "'63.4±0.3' is not a number",
    "method,k,pass_at_k\nm,1.5,3\n": "line 2, column k: '1.5' is not a whole number of at least 1",
    "method,k,pass_at_k\nm,0,3\n": "'0' is not a whole number of at least 1",
    "method,k,pass_at_k\nm,²,3\n": "'²' is not a whole number",
    "method,k,pass_at_k\nm,999999,3\n": "line 2: k = 999999 is too large; the audit computes",
    "method,0,4\nm,1,2\n": "line 1, column 0: '0' is not a whole number",
    "method,k,pass_at_k,n\nm,1,5,x\n": "line 2, column n: 'x' is not a whole number",
    "method,k,pass_at_k,n\nm,1,5,64\nm,2,6,128\n": "line 3, column n: 128, but 64 on line 2 of the same curve",
    "method,k,pass_at_k,plus_minus\nm,1,5,?\n": "line 2, column plus_minus: '?' is not a number",
    'method,k,pass_at_k\n"m,1,5\n': "not readable as CSV text",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: repr(text)[:40])
def test_bad_tables_are_refused_in_one_sentence(text: str, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(text)
    assert main([str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert BAD[text] in err
    assert str(path) in err
    assert err.count("\n") == 1


def test_files_that_are_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "binary.csv").write_bytes(b"method,k\xff\xfe\x00")
    for path, words in ((tmp_path / "binary.csv", "not readable as CSV"), (tmp_path, "not readable as CSV"),
                        (tmp_path / "none.csv", "no such file")):  # fmt: skip
        assert main([str(path)]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name one table, not 0"),
        (["a.csv", "b.csv"], "name one table, not 2"),
        (["a.csv", "tolerance=1"], "cannot read tolerance="),
        (["a.csv", "out="], "out= has no value"),
        (["a.csv", "problems=" + "benchmark:40," * 30 + "x"], "'x' is not benchmark:count"),
        (["a.csv", f"{'x' * 300}=1"], "cannot read xxx"),
        (["a.csv", "problems=AMC23"], "'AMC23' is not benchmark:count"),
        (["a.csv", "problems=AMC23:0"], "is not benchmark:count"),
        (["a.csv", "claim=A"], "is not a claim"),
    ],
)
def test_bad_arguments(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def test_a_claim_about_an_unknown_method(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write(tidy({"a": genuine_row()}))), "claim=a > b"]) == 2
    assert "claim=: there is no method 'b'; choose from a" in capsys.readouterr().err


# --- what comes out


def test_status_and_files(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write(tidy({"m": genuine_row()})))]) == 0
    assert "0 findings. Nothing found: k within n, monotone" in capsys.readouterr().out
    row = genuine_row()
    row[5] = row[4] - 0.2
    path = write(tidy({"m | <b>": row}))
    out = tmp_path / "out"
    assert main([str(path), f"json={out / 'audit.json'}", f"out={out}"]) == 1
    printed = capsys.readouterr().out
    csv = pd.read_csv(out / "audit.csv")
    assert csv["check"].tolist() == ["monotone", "concave", "coherence"]
    assert csv["lines"].tolist()[0] == "6–7"
    assert csv["by"].iloc[0] == pytest.approx((round(row[4], 1) - round(row[5], 1)) / 100)  # a share
    assert csv["possible_innocent_causes"].str.len().min() > 20
    written = json.loads((out / "audit.json").read_text())
    assert [f["check"] for f in written["findings"]] == csv["check"].tolist()
    assert written["findings"][0]["ks"] == [16, 32]
    page = (out / "audit.md").read_text()
    assert r"m \| \<b\>" in page
    for statement in csv["statement"]:
        assert " ".join(statement.split()[:3]) in page
        assert statement.split()[0] in printed


def test_problems_can_be_told(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("benchmark,method,k,pass_at_k\nmine,m,1,50.0\nmine,m,2,61.3\n")
    assert main([str(path)]) == 0
    assert "number of problems unknown: mine" in " ".join(capsys.readouterr().out.split())
    assert main([str(path), "problems=Mine:40"]) == 1


def test_names_from_the_file_stay_text(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    row = genuine_row()
    row[5] = row[4] - 0.2
    assert main([str(write(tidy({"[bold]\x1b[31mred": row})))]) == 1
    printed = capsys.readouterr().out
    assert "[bold] [31mred" in " ".join(printed.split())
    assert "\x1b" not in printed


def test_an_output_that_cannot_be_written(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tidy({"m": genuine_row()}))
    assert main([str(path), f"out={path}"]) == 2
    assert f"{path}: cannot be written" in capsys.readouterr().err


def test_unreadable_tables_raise_for_callers(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="no such file"):
        read_curves(tmp_path / "none.csv")


def test_the_rounding_of_each_table_is_that_of_its_own_numbers() -> None:
    curves = [Curve(table, "m", "b", "x", (), decimals) for table, decimals in (("1", 1), ("2", 2), ("3", 2))]
    _, one, two, *_ = scope(curves)
    assert one == "Half a unit of the last printed place: h = 0.05 points (table 1)."
    assert two == "Half a unit of the last printed place: h = 0.005 points (table 2, 3)."
