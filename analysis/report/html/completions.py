"""Sample of recorded completions for the report. Only the shown text is read, and as little else as possible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from agrae_lab.runs import SCHEMA_VERSION, Run
from analysis.io.parquet import REMEDY, FrameError
from analysis.io.study import BASE, Study
from analysis.report.html import thumbnails
from analysis.report.html.choice import OUTCOMES, choose, clip, outcome_codes, spread, within

PER_CELL = 240  # completions of one arm and one source, over its seeds
MOST_CHARACTERS = 4_000  # of one completion
BUDGET = 5_000_000  # bytes of all completions
STEPS = 12  # training steps per run
_ROW_GROUPS = 16  # per file
_BYTES_PER_FILE = 1 << 25  # read of an evaluation
_BYTES_PER_STEP = 1 << 22  # read of a step's rollouts

TRAINING = "training"
_NEEDED = ("sample", "completion", "correct", "valid")
_OPTIONAL = ("n_tokens", "truncated", "advantage", "answer")
COLUMNS = (
    "arm", "seed", "source", "step", "prompt", "sample", "outcome", "n_tokens", "truncated", "advantage", "answer",
    "start", "end", "left_out", "pictures",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """Number of recorded and of shown completions of one run from one source; the base model has no seed."""

    arm: str
    seed: int | None
    source: str
    recorded: int
    shown: int


@dataclass
class Sample:
    """Completions for the page, with their counts and the images of their problems."""

    # COLUMNS; missing where a source records no such value. `pictures` holds indices of `images`.
    rows: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(COLUMNS)))
    cells: list[Cell] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    in_part: bool = False  # True if a file was too large to be read as a whole
    images: list[str] = field(default_factory=list)  # data URIs
    about_images: str = ""  # a sentence for the page


@dataclass(frozen=True)
class _Source:
    """Source of one cell: a file, or the files of a run's steps."""

    arm: str
    seed: int | None
    name: str
    paths: tuple[Path, ...]
    decoding: str | None  # None: training rollouts
    index: Path  # of its problems' images; may not exist


def sample_completions(study: Study) -> Sample:
    """Return completions of every run and of the base model, from training and evaluation, by the view's seed."""
    sample, frames = Sample(), []
    sources = list(_sources(study))
    for source in sources:
        alike = sum((other.arm, other.name) == (source.arm, source.name) for other in sources)
        try:
            rows, recorded, in_part = _read(source, max(PER_CELL // alike, STEPS), seed=study.view.seed)
        except FrameError as error:
            sample.refused.append(f"completions of {source.arm}, {source.name}: {error}")
            continue
        if not recorded:
            continue
        rows = rows.head(within(rows["completion"].map(lambda text: text[:MOST_CHARACTERS]), BUDGET // len(sources)))
        sample.in_part |= in_part
        sample.cells.append(Cell(source.arm, source.seed, source.name, recorded, len(rows)))
        frames.append(_display_rows(rows, source))
        frames[-1]["pictures"] = _image_files(source, frames[-1]["prompt"], sample.refused)
    if frames:
        sample.rows = pd.concat(frames, ignore_index=True)
        names = list(sample.rows["pictures"])
        sample.images, places = thumbnails.embed_images(names)
        sample.about_images = thumbnails.describe(names, places)
        sample.rows["pictures"] = pd.Series(places, dtype=object)
    return sample


def _image_files(source: _Source, prompts: pd.Series, refused: list[str]) -> pd.Series:
    """Return the image files of each row's problem; add a broken index to `refused` once."""
    try:
        known = thumbnails.read_index(source.index)
    except FrameError as error:
        if str(error) not in refused:
            refused.append(str(error))
        known = {}
    return pd.Series([known.get(str(prompt), ()) for prompt in prompts], index=prompts.index, dtype=object)


def describe(sample: Sample) -> str:
    """Return sentences for the page on the choice of the completions."""
    shown, recorded = len(sample.rows), sum(cell.recorded for cell in sample.cells)
    text = (
        f"{shown:,} of {recorded:,} recorded completions: at most {PER_CELL} for each arm and source, chosen by seed. "
        f"Training completions come from at most {STEPS} evenly spaced steps. All arms show the same prompts. Right, "
        "wrong and invalid completions are balanced as far as possible, so their shares here are not the recorded "
        f"shares. A completion of more than {MOST_CHARACTERS:,} characters is shown without its middle."
    )
    text += f" {sample.about_images}" if sample.about_images else ""
    return text + (" Of large files only a part was read." if sample.in_part else "")


def _sources(study: Study) -> Iterator[_Source]:
    bases: dict[Path, tuple[str, Path]] = {}
    for arm, runs in study.arms.items():
        for run in runs:
            yield _Source(arm, run.seed, TRAINING, tuple(run.rollout_paths()), None, _index(run, "train"))
            for benchmark in run.benchmarks():
                index = _index(run, benchmark)
                yield from _evaluation(arm, run.seed, benchmark, run.samples_path(benchmark), index)
                if (path := run.base_samples_path(benchmark)) is not None and path.is_file():
                    bases[path] = benchmark, index
    for path, (benchmark, index) in bases.items():
        yield from _evaluation(BASE, None, benchmark, path, index)


def _evaluation(arm: str, seed: int | None, benchmark: str, path: Path, index: Path) -> Iterator[_Source]:
    for decoding, word in (("sample", "sampled"), ("greedy", "greedy")):
        yield _Source(arm, seed, f"{benchmark}, {word}", (path,), decoding, index)


def _index(run: Run, name: str) -> Path:
    """Return the path of the index of images of a run's problem set; it may not exist."""
    fingerprint = Path(str(run.config.get("data_fingerprints", {}).get(name, "unknown"))).name
    return run.root / "pictures" / fingerprint / "index.json"


def _read(source: _Source, num: int, *, seed: int) -> tuple[pd.DataFrame, int, bool]:
    """Return the chosen rows in order of priority, the number of recorded rows, and True if a file was read in part.

    Raises:
        FrameError: a file cannot be read, or has other columns.
    """
    if source.decoding is not None:
        return _read_evaluation(source.paths[0], source.decoding, num, seed=seed)
    return _read_rollouts(source.paths, num, seed=seed)


def _read_evaluation(path: Path, decoding: str, num: int, *, seed: int) -> tuple[pd.DataFrame, int, bool]:
    """Return what _read does, for one decoding of an evaluation's file."""
    with _opened(path) as file:
        groups = _groups_with(file, decoding)
        wanted = {group: groups[group] for group in map(list(groups).__getitem__, spread(len(groups), _ROW_GROUPS))}
        table, whole = _table(file, path, "problem_id", wanted, _BYTES_PER_FILE, decoding=decoding)
    return _choose_rows(table, num, seed=seed), sum(groups.values()), not whole or len(wanted) < len(groups)


def _read_rollouts(paths: Sequence[Path], num: int, *, seed: int) -> tuple[pd.DataFrame, int, bool]:
    """Return what _read does, for the files of a run's steps."""
    recorded = sum(_num_rows(path) for path in paths)
    steps, in_part = [], False
    places = spread(len(paths), min(STEPS, num))
    for place in places:
        path = paths[place]
        with _opened(path) as file:
            groups = {i: file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)}
            table, whole = _table(file, path, "prompt_id", groups, _BYTES_PER_STEP)
        steps.append(_choose_rows(table, num // len(places), seed=seed))
        in_part |= not whole
    # steps take turns, so that a cut for size leaves some rows of every step
    turns = pd.concat([step.assign(_turn=range(len(step))) for step in steps]) if steps else pd.DataFrame()
    return (turns.sort_values("_turn", kind="stable") if len(turns) else turns), recorded, in_part


def _table(
    file: pq.ParquetFile, path: Path, prompt: str, groups: Mapping[int, int], most: int, *, decoding: str | None = None
) -> tuple[pa.Table, bool]:
    """Return rows of row groups (group → wanted rows), at most `most` bytes; True if all wanted rows were read."""
    names = file.schema_arrow.names
    extra = (prompt, *(["decoding"] if decoding else ["step"]))
    if missing := [name for name in ("schema_version", *extra, *_NEEDED) if name not in names]:
        raise FrameError(f"{path}: the columns {missing} are missing. Give files that agrae_lab wrote")
    columns = ["schema_version", *extra, *_NEEDED, *(name for name in _OPTIONAL if name in names)]
    batches, whole = [], True
    for group, wanted in groups.items():
        left = most // len(groups)
        for batch in file.iter_batches(1024, row_groups=[group], columns=columns, use_threads=False):
            left -= batch.nbytes
            batches.append(batch.filter(pc.equal(batch["decoding"], decoding)) if decoding else batch)
            wanted -= batches[-1].num_rows
            if wanted <= 0 or left <= 0:
                whole &= wanted <= 0
                break
    table = pa.Table.from_batches(batches, file.schema_arrow.empty_table().select(columns).schema)
    table.validate(full=True)  # reading alone does not check that text is valid UTF-8
    versions = pc.unique(table["schema_version"]).to_pylist()
    if versions not in ([SCHEMA_VERSION], []):
        raise FrameError(f"{path}: schema version {versions}, but this analysis reads version {SCHEMA_VERSION}")
    return table.rename_columns({prompt: "prompt"}), whole


def _choose_rows(table: pa.Table, num: int, *, seed: int) -> pd.DataFrame:
    """Return the chosen rows with their outcomes; the text of other rows, which is most of it, is not converted."""
    prompts = table["prompt"].combine_chunks().dictionary_encode()
    outcome_N = outcome_codes(*(table[name].fill_null(False).to_numpy() for name in ("correct", "valid")))
    at = choose(
        np.array([str(name) for name in prompts.dictionary.to_pylist()], dtype=object),
        prompts.indices.fill_null(-1).to_numpy(),
        table["sample"].to_numpy(),
        outcome_N,
        num,
        seed=seed,
    )
    frame = table.take(pa.array(at, pa.int64())).to_pandas()
    frame["outcome"] = pd.Categorical.from_codes(outcome_N[at].tolist(), categories=pd.Index(OUTCOMES))
    frame["completion"] = frame["completion"].fillna("").astype(str)
    return frame


def _groups_with(file: pq.ParquetFile, decoding: str) -> dict[int, int]:
    """Return row group → number of its rows of this decoding, without groups that have none."""
    found = {}
    place = {name: i for i, name in enumerate(file.schema.names)}["decoding"]
    for group in range(file.num_row_groups):
        about = file.metadata.row_group(group)
        ends = about.column(place).statistics
        if ends is not None and ends.has_min_max and ends.min == ends.max and not ends.null_count:  # all rows alike
            count = about.num_rows if ends.min == decoding else 0
        else:
            column = file.read_row_group(group, ["decoding"], use_threads=False)["decoding"]
            count = pc.sum(pc.equal(column, decoding)).as_py()
        if count:
            found[group] = count
    return found


def _display_rows(rows: pd.DataFrame, source: _Source) -> pd.DataFrame:
    """Return the columns of Sample.rows, in reading order."""
    rows = rows.sort_values(["step", "prompt", "sample"] if "step" in rows else ["prompt", "sample"], kind="stable")
    parts = [clip(text, MOST_CHARACTERS) for text in rows["completion"]]
    texts = pd.DataFrame(parts, columns=["start", "end", "left_out"], index=rows.index)
    frame = pd.concat([rows.drop(columns="completion"), texts], axis=1)
    return frame.assign(arm=source.arm, seed=source.seed, source=source.name).reindex(columns=list(COLUMNS))


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file for reading in pieces: neither whole columns nor whole row groups are buffered."""
    try:
        with pq.ParquetFile(path, buffer_size=1 << 20) as file:
            yield file
    except (pa.ArrowException, OSError, KeyError) as error:
        cause = str(error).partition("\n")[0]
        raise FrameError(
            f"{path}: not a whole Parquet file (cut off, damaged, or another format): {cause}; {REMEDY}"
        ) from error


def _num_rows(path: Path) -> int:
    with _opened(path) as file:
        return file.metadata.num_rows
