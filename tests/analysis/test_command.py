"""`python -m analysis`: what it writes, prints and refuses."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from analysis_lab import ARMS, BENCHMARK, EXPERIMENTS, samples_frame

from agrae_lab.runs import Experiment, list_experiments, list_runs
from analysis import __main__ as command
from analysis import figures, pareto, tables
from analysis.__main__ import main
from analysis.arguments import parse
from analysis.claims import judge
from analysis.claims.verdicts import RULE, format_interval
from analysis.io.study import Study, View, load_study
from analysis.presentation.render import FIGURE_ENDINGS, TABLE_ENDINGS
from analysis.report.headline import headline
from analysis.report.result import Result, multiplicity


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that are not about figures and tables, which take most of the time."""
    monkeypatch.setattr(figures, "discover", list)
    monkeypatch.setattr(tables, "discover", list)


def test_a_whole_root(new_root: Callable, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch) -> None:
    from analysis.figures import passk
    from analysis.tables import main as table_main

    monkeypatch.setattr(figures, "discover", lambda: [passk])
    monkeypatch.setattr(tables, "discover", lambda: [table_main])
    root = new_root(all_rollouts=True, num_problems=20, num_samples=16)
    runs = {arm: root.run(arm) for arm in ARMS}
    for name, arms in EXPERIMENTS.items():
        root.experiment(name, [runs[arm] for arm in arms])
    assert main([f"runs={root.path}", f"out={tmp_path}", "formats=pdf"]) == 0
    expected = {f"passk.{ending}" for ending in FIGURE_ENDINGS} | {f"table_main.{ending}" for ending in TABLE_ENDINGS}
    expected |= {"summary.md", "report.html", "passk.pdf"}
    for name in EXPERIMENTS:
        folder = tmp_path / name
        assert {path.name for path in folder.iterdir()} == expected
        summary = (folder / "summary.md").read_text()
        assert "[passk](passk.svg)" in summary
        assert "[table_main](table_main.md) ([LaTeX](table_main.tex), [CSV](table_main.csv))" in summary
        assert "Which arm | explores?" in summary
        assert "Multiplicity:" in summary or "no data" in summary
        page = (folder / "report.html").read_text()
        assert "<h1>Which arm | explores?</h1>" in page
        assert 'id="figure-passk"' in page
        assert 'id="table-table_main"' in page
    top = (tmp_path / "summary.md").read_text()
    for claim in ("C1", "C2", "C3", "C5", "C8"):
        assert f"**{claim}: " in top
    printed = capsys.readouterr().out
    assert f"{tmp_path / 'summary.md'}" in printed
    assert f"{tmp_path / 'a_grae/report.html'}" in printed
    assert [line[:20] for line in printed.splitlines()].count("The paper's claims: ") == 1  # folded
    for words in ("Base model", "A-GRAE", "**C8: ", "(20 problems, n = 16"):
        assert words in top
    first, second, *_ = printed.splitlines()  # the answer comes first
    assert (first, second[:24]) == ("Which arm | explores?", "  A-GRAE − GRPO at k = 1")
    assert "\n- A-GRAE − GRPO at k = 1: " in top.partition("<details>")[0]


def test_page_and_summary_say_the_same(demo_root, tmp_path: Path, no_figures: None) -> None:
    main([f"runs={demo_root.path}", "experiment=group_symmetry", f"out={tmp_path}"])
    page = (tmp_path / "group_symmetry/report.html").read_text().partition("<body>")[2]
    page = " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())
    summary = " ".join((tmp_path / "group_symmetry/summary.md").read_text().split())
    experiment = next(e for e in list_experiments(demo_root.path) if e.name == "group_symmetry")
    verdicts = judge(load_study(demo_root.path, experiment))
    said = [RULE, multiplicity(verdicts)]
    for verdict in verdicts:
        said += [verdict.title, *verdict.notes]
        said += [verdict.scope, verdict.would_change] if verdict.parts else [verdict.text]
        said += [words for part in verdict.parts for words in (part.name, format_interval(part))]
    assert len(said) > 30
    for words in said:
        assert words in summary
        assert words in page


def test_the_table_is_tidy_and_the_summary_holds_it(demo_root, tmp_path: Path, monkeypatch) -> None:
    from analysis.tables import main as table_main

    monkeypatch.setattr(figures, "discover", list)
    monkeypatch.setattr(tables, "discover", lambda: [table_main])
    main([f"runs={demo_root.path}", "experiment=a_grae", f"out={tmp_path}"])
    table = pd.read_csv(tmp_path / "a_grae/table_main.csv")
    assert list(table["arm"].unique()) == ["base", "grpo", "a_grae"]
    assert len(table) == 27
    row = table[(table["arm"] == "grpo") & (table["k"] == 4)].iloc[0]
    cell = f"{100 * row['estimate']:.1f} [{100 * row['lo']:.1f}, {100 * row['hi']:.1f}]"
    summary = (tmp_path / "a_grae/summary.md").read_text()
    line = next(line for line in summary.splitlines() if line.startswith("| GRPO"))
    assert line.split(" | ")[3].replace("*", "") == cell
    assert (tmp_path / "a_grae/table_main.md").read_text() in summary
    assert line.endswith("| – | – |")  # k = 128, 256 exceed n = 64
    assert table.loc[table["k"] > 64, ["estimate", "lo", "hi"]].isna().all(axis=None)
    assert not (tmp_path / "group_symmetry").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "runs= is missing; name the folder of the runs: python -m analysis runs=<root>"),
        (["runs=nowhere"], "runs=nowhere: there is no such directory"),
        (["run=x"], "cannot read 'run=x'; did you mean 'runs'? give runs=..., experiment=..., out=..., formats=..."),
        (["runs="], "cannot read 'runs=': it has no value"),
        (["--intersec", "runs=x"], "did you mean '--intersect'? give"),
        (["intersect=1"], "cannot read 'intersect=1'"),
        (
            ["runs=.", "--intersect=false"],
            "cannot read '--intersect=false': --intersect takes no value; give --intersect",
        ),
        (["runs=.", "--intersect="], "--intersect takes no value"),
        (["--runs=x"], "cannot read '--runs=x'"),
        (["runs=.", "runs=."], "runs is given twice"),
        (["audits", "x.csv"], "or audit <table.csv>"),
        (["runs=.", "seed=-1"], "seed=-1: must be a whole number of at least 0"),
        (["runs=.", "smooth=1.5"], "smooth=1.5: must be a whole number of steps of at least 3"),
        (["runs=.", "smooth=4"], "smooth=4: a centred window is odd; choose 3 or 5"),
        (["runs=.", "published=nobody"], "published=nobody: "),
        (["runs=.", "published=Qwen2.5-Math-7B/"], "published=Qwen2.5-Math-7B/: "),
        (["simulation=x", "seed=1"], "simulation= takes out= and formats= only, not seed"),
    ],
)
def test_what_cannot_be_carried_out_is_one_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("run", "words"), [(main, []), (main, ["audit"]), (pareto.main, [])])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_describes_the_command_with_two_examples(
    run: Callable[[list[str]], int], words: list[str], flag: str, capsys: pytest.CaptureFixture
) -> None:
    assert run([*words, flag]) == 0
    examples = capsys.readouterr().out.partition("Examples:")[2].strip().split("\n\n")[0].splitlines()
    assert len(examples) == 2
    assert all(line.strip().startswith("python -m analysis") for line in examples)


def test_runs_of_no_experiment_are_compared_with_each_other(demo_root, tmp_path: Path) -> None:
    for folder in [*demo_root.path.glob("*/seed-*"), demo_root.path / "base"]:
        (tmp_path / folder.relative_to(demo_root.path)).parent.mkdir(exist_ok=True)
        (tmp_path / folder.relative_to(demo_root.path)).symlink_to(folder)
    request = parse({"runs": str(tmp_path)})
    (everything,) = request.experiments
    assert everything.name == "all_runs"
    assert set(everything.runs) == {run.key for run in list_runs(demo_root.path)}


def test_a_broken_config_in_a_root_without_experiments_is_named_and_the_rest_is_done(new_root: Callable) -> None:
    root = new_root(num_problems=4, num_samples=4, num_steps=3)
    run = root.run("grpo")
    broken, copied = root.path / "a_grae-00000000/seed-0", root.path / "a_grae-00000000/seed-0-copy"
    for path in (broken, copied):
        path.mkdir(parents=True)
        (path / "config.yaml").write_text("{")
    (everything,) = parse({"runs": str(root.path)}).experiments
    study = load_study(root.path, everything)
    assert [one.key for one in study.runs] == [run.key]
    (sentence,) = study.refused
    assert f"{broken}/config.yaml" in sentence


def test_a_root_without_runs_and_an_unknown_experiment(demo_root, tmp_path: Path, capsys) -> None:
    assert main([f"runs={tmp_path}"]) == 2
    assert "it holds no runs and lists no experiments" in capsys.readouterr().err
    assert main([f"runs={demo_root.path}", "experiment=x"]) == 2
    assert "has no such experiment; choose from a_grae, group_symmetry, sample_symmetry" in capsys.readouterr().err
    assert main([f"runs={demo_root.path}", "experiment=a_gre"]) == 2
    assert "has no such experiment; did you mean 'a_grae'? choose from" in capsys.readouterr().err


def test_the_options_are_every_studys_view(demo_root, tmp_path: Path, no_figures: None, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(command, "evaluate", lambda study: seen.append(study.view) or Result(study))
    words = ["published=Qwen2.5-Math-7B/MATH", "smooth=5", "seed=7", "--intersect"]
    assert main([f"runs={demo_root.path}", "experiment=a_grae", f"out={tmp_path}", *words]) == 0
    assert seen == [View(intersect=True, smooth=5, published="Qwen2.5-Math-7B/MATH", seed=7)] * 2  # and all together
    page = (tmp_path / "a_grae/report.html").read_text()
    assert "published=Qwen2.5-Math-7B/MATH smooth=5 seed=7 --intersect" in page


def test_models_are_separated(new_root: Callable, tmp_path: Path, capsys, monkeypatch) -> None:
    from analysis.tables import main as table_main

    monkeypatch.setattr(figures, "discover", list)
    monkeypatch.setattr(tables, "discover", lambda: [table_main])
    root = new_root(all_rollouts=True, num_problems=12, num_samples=8)
    small, large = ({"path": f"hub/{name}"} for name in ("small", "large"))
    root.experiment(
        "x", [root.run("grpo", model=small), root.run("a_grae", model=small), root.run("grpo", model=large)]
    )
    assert main([f"runs={root.path}", f"out={tmp_path / 'out'}"]) == 0
    assert {path.name for path in (tmp_path / "out/x").iterdir()} == {"small", "large"}
    table = pd.read_csv(tmp_path / "out/x/small/table_main.csv")
    assert set(table["arm"]) == {"base", "grpo", "a_grae"}
    assert "from the\nmodel <bdi>large</bdi>" in (tmp_path / "out/x/large/report.html").read_text()
    top = (tmp_path / "out/summary.md").read_text()
    assert [line for line in top.splitlines() if line.startswith("# ")] == [
        "# All experiments/large", "# All experiments/small"
    ]  # fmt: skip
    assert str(tmp_path / "out/x/small/report.html") in capsys.readouterr().out


def test_audit_is_a_command_of_its_own(capsys: pytest.CaptureFixture) -> None:
    assert main(["audit", "no_such_table.csv"]) == 2
    assert "no_such_table.csv" in capsys.readouterr().err


def test_several_processes_do_the_same(new_root: Callable, tmp_path: Path, monkeypatch) -> None:
    from analysis.figures import find

    drawn = [find("entropy")]
    monkeypatch.setattr(figures, "discover", lambda: drawn)
    monkeypatch.setattr(tables, "discover", list)
    root = new_root(all_rollouts=True, num_problems=12, num_samples=8)
    root.experiment("x", [root.run("grpo"), root.run("a_grae")])
    for name, num_workers in (("one", 1), ("two", 2)):
        assert main([f"runs={root.path}", f"out={tmp_path / name}"], num_workers=num_workers) == 0
    for path in (tmp_path / "one/x").iterdir():
        assert path.read_bytes() == (tmp_path / "two/x" / path.name).read_bytes(), path.name


def test_an_experiment_of_another_schema_is_refused(demo_root, tmp_path: Path, capsys) -> None:
    root = tmp_path / "runs"
    shutil.copytree(demo_root.path / "experiments", root / "experiments")
    (root / "experiments/a_grae.json").write_text('{"schema_version": 9}')
    assert main([f"runs={root}"]) == 2
    assert "schema version 9" in capsys.readouterr().err


def test_unfinished_and_missing_runs_are_named(new_root: Callable, tmp_path: Path, capsys, no_figures: None) -> None:
    from agrae_lab.runs import update_meta, write_json

    root = new_root(all_rollouts=True, num_problems=12, num_samples=8)
    failed, running = root.run("hard_focused", status="failed", steps=5), root.run("a_grae", status="running", steps=9)
    update_meta(failed.path, error="out of memory")
    write_json(running.path / "progress.json", {"phase": "train", "done": 9, "total": 36, "seconds": 3.0})
    root.experiment("x", [root.run("grpo"), failed, running])
    shutil.copytree(failed.path, gone := root.path / "easy_focused-00000000/seed-0")
    root.experiment("x", [type(failed)(gone, failed.config)])
    shutil.rmtree(gone.parent)
    assert main([f"runs={root.path}", f"out={tmp_path / 'out'}"]) == 0
    summary, printed = (tmp_path / "out/x/summary.md").read_text(), capsys.readouterr().out
    for text in (summary, printed):
        assert f"{failed.key}: failed: out of memory" in text
        assert f"{running.key}: running (train 9 of 36)" in text
        assert "easy_focused-00000000/seed-0 has not started" in text
    assert "no data: needs a finished run of a_grae" in summary
    assert re.search(r"The paper's claims: .*C8 no data", printed)


def test_an_experiment_without_a_started_run_has_a_report(new_root: Callable, tmp_path: Path, no_figures: None) -> None:
    root = new_root(num_problems=8, num_samples=4, num_steps=3)
    key = "grpo-00000000/seed-0"
    Experiment("launched", "Which is better?", (key,)).write(root.path)
    assert main([f"runs={root.path}", f"out={tmp_path / 'out'}"]) == 0
    page = (tmp_path / "out/launched/report.html").read_text()
    assert f"{key} has not started" in page
    assert "<h2>Reproduce</h2>" not in page


def test_refused_data_are_named_and_the_rest_is_done(new_root: Callable, tmp_path: Path, capsys, monkeypatch) -> None:
    from analysis.figures import find, passk

    drawn = [find("entropy"), passk]
    monkeypatch.setattr(figures, "discover", lambda: drawn)
    monkeypatch.setattr(tables, "discover", list)

    root = new_root(all_rollouts=True, num_problems=12, num_samples=8)
    grpo, other = root.run("grpo"), root.run("a_grae")
    samples_frame(pd.Series([1, 2, 3]).to_numpy(), 8).to_parquet(other.samples_path(BENCHMARK))
    root.experiment("x", [grpo, other])
    assert main([f"runs={root.path}", f"out={tmp_path / 'out'}"]) == 1
    folder = tmp_path / "out/x"
    summary, printed = (folder / "summary.md").read_text(), capsys.readouterr().out
    for text in (summary, printed):
        assert "their problem sets differ (12 problems in" in text
    assert not (folder / "passk.svg").exists()
    assert (folder / "entropy.svg").exists()
    assert "No data: the evaluations cannot be compared" in summary
    assert f"No answer on {BENCHMARK}: the evaluations cannot be compared" in summary


def test_a_benchmark_that_cannot_be_compared_leaves_the_others_their_answer(new_root: Callable) -> None:
    root = new_root(num_problems=8, num_samples=8, num_steps=12)
    runs = [root.run("grpo"), root.run("a_grae")]
    for run in runs:
        root.samples(run.arm, 0, run.path / "eval/other-1234abcd/samples.parquet")
        root.num_samples = 4
    result = command.evaluate(Study("x", "?", tuple(runs)))
    assert [answer.benchmark for answer in result.answers] == [BENCHMARK]
    assert headline(result)[1:] == ["No answer on other: the evaluations cannot be compared (see the refused data)."]
    assert result.refused[-1].startswith("Pass@k on other: ")
    by_claim = {verdict.claim: verdict for verdict in result.verdicts}
    assert by_claim["C8"].parts
    assert by_claim["C1"].parts
    assert "other: not judged, its evaluations cannot be compared" in by_claim["C1"].notes


def test_diverged_runs_are_said_to_be_an_outcome(new_root: Callable, tmp_path: Path, no_figures: None) -> None:
    root = new_root(all_rollouts=True, num_problems=12, num_samples=8)
    root.experiment("x", [root.run("grpo"), root.run("grpo", 1, status="diverged", steps=10)])
    main([f"runs={root.path}", f"out={tmp_path}"])
    assert "A diverged run is an outcome, too" in (tmp_path / "x/summary.md").read_text()


def test_the_room_imports_nothing_heavy() -> None:
    """Neither torch nor a trainer, and of agrae_lab only runs.py."""
    code = (
        "import sys, analysis.__main__ as m; m.figures.discover();"
        "bad = {'torch', 'trl', 'vllm', 'wandb', 'transformers', 'datasets', 'matplotlib.pyplot'} & set(sys.modules);"
        "own = {n for n in sys.modules if n.startswith('agrae_lab.') and not n.startswith('agrae_lab.runs')};"
        "sys.exit(f'{bad} {own}' if bad or own else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
