"""Evaluation of one policy on one benchmark: n samples and a greedy completion per problem, written in chunks.

    samples.parquet                 one row per (problem, sample), and one greedy row (sample −1) per problem
    chunks/sample-00032-00064-00003.parquet   until it is complete: samples 32 to 63 of the problems of group 3

Every sample has its own random stream (streams.py). The rows of a chunk do not depend on the batch size or the number
of samples requested. Hence a resumed evaluation ends with the same samples as an uninterrupted one, several processes
can share the chunks, and later evaluations draw only the missing samples.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from agrae_lab.evaluation.engines.base import Completions, Decoding, Engine
from agrae_lab.evaluation.streams import sample_seeds
from agrae_lab.runs import SCHEMA_VERSION, RunError, replacing
from agrae_lab.tasks import Problem, Task
from agrae_lab.tasks.encoding import images_in, map_images

logger = logging.getLogger(__name__)

GREEDY = -1  # the `sample` of a greedy row
SAMPLES_PER_CHUNK = 32
PROBLEMS_PER_CHUNK = 32
PATCH_PIXELS = 784  # 28 x 28, a patch of Qwen2.5-VL
POLL_SECONDS = 1.0  # interval of the search for other processes' chunks


@dataclass(frozen=True)
class Chunk:
    """Problems, as indices in the order of sampling, with the samples of each. An empty range stands for greedy."""

    name: str
    problems: tuple[int, ...]
    samples: range = range(0)

    @property
    def rows(self) -> list[tuple[int, int]]:
        """The chunk's rows as (problem index, sample) pairs."""
        return [(i, s) for i in self.problems for s in self.samples or (GREEDY,)]


def evaluate(
    engine: Engine,
    task: Task,
    problems: Sequence[Problem],
    decoding: Decoding,
    path: Path,
    *,
    benchmark: str | None = None,
    shard: tuple[int, int] = (0, 1),
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write `path`/samples.parquet, or add missing samples to it. Chunks of an earlier attempt are reused.

    Args:
        benchmark: its name for the rows; None: the directory's name.
        shard: (i, m): this is process i of m that share the chunks. Process 0 waits for the others' chunks and joins
            them; the others return after their own.
        on_progress: called with (chunks done, chunks in all); until its own are done, a process counts as many of the
            others' as if all were equally fast.

    Raises:
        RunError: an existing samples.parquet is damaged.
    """
    out, benchmark = path / "samples.parquet", benchmark or path.name
    before = num_samples_of(out, len(problems))
    lengths = [prompt_length(task.prompt(p)) for p in problems] if before < decoding.num_samples else []
    plan = [] if not lengths else list(plan_chunks(lengths, first=before, num_samples=decoding.num_samples))
    chunks = {path / "chunks" / f"{chunk.name}.parquet": chunk for chunk in plan}
    for number, (file, chunk) in list(enumerate(chunks.items()))[shard[0] :: shard[1]]:
        on_progress(number, len(chunks))
        if not _is_whole(file):
            if shard[0] > 0 and num_samples_of(out, len(problems)) >= decoding.num_samples:
                return  # process 0 has joined and removed the chunks meanwhile: they were of an earlier attempt
            file.parent.mkdir(parents=True, exist_ok=True)
            table = _chunk_table(engine, task, problems, decoding, chunk, benchmark=benchmark)
            with replacing(file) as temporary:
                pq.write_table(table, temporary, write_page_checksum=True)
    if shard[0] > 0:
        return
    while (done := sum(file.is_file() for file in chunks)) < len(chunks):
        on_progress(done, len(chunks))
        time.sleep(POLL_SECONDS)
    if chunks:
        _join([*([out] if before >= 0 else []), *chunks], out)
        on_progress(len(chunks), len(chunks))
    _remove_used(path / "chunks", num_samples=max(before, decoding.num_samples))


def _is_whole(chunk: Path) -> bool:
    """Return True if the chunk of an earlier attempt can be used; a damaged one is named, and drawn again."""
    if not chunk.is_file():
        return False
    try:
        pq.read_table(chunk, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        logger.warning("%s is damaged (%s); its samples are drawn again", chunk, str(error).splitlines()[0])
        return False
    return True


def num_samples_of(path: Path, num_problems: int) -> int:
    """Return n of a samples.parquet over so many problems; −1 if there is none.

    Raises:
        RunError: the file is unreadable, or its rows are not one greedy and n sampled ones per problem.
    """
    if not path.is_file():
        return -1
    try:
        num_rows = pq.read_metadata(path).num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise RunError(f"{path} cannot be read ({error}). Delete it and evaluate again") from error
    if num_rows < num_problems or num_rows % num_problems:
        raise RunError(
            f"{path} holds {num_rows} rows, not equally many for each of {num_problems} problems. Delete it and "
            "evaluate again"
        )
    return num_rows // num_problems - 1


def _join(parts: Sequence[Path], path: Path) -> None:
    """Join Parquet files row group by row group, so that only one group is in memory.

    Columns that files of an earlier version lack are null in their rows.
    """
    schema = pa.unify_schemas([pq.read_schema(part) for part in parts])
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as out,
    ):
        for part in parts:
            for table in _row_groups(part):
                out.write_table(_with_columns(table, schema))


def _row_groups(path: Path) -> Iterator[pa.Table]:
    """Yield the row groups of a Parquet file, each after a check of its pages.

    Raises:
        RunError: the file is damaged.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{path} is damaged ({str(error).splitlines()[0]}). Delete it and evaluate again") from error


def _with_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [table[f.name] if f.name in table.column_names else pa.nulls(len(table), f.type) for f in schema]
    return pa.table(columns, schema=schema)


def _remove_used(chunks_dir: Path, *, num_samples: int) -> None:
    """Remove chunks whose samples are in samples.parquet; chunks of a larger, unfinished evaluation stay."""
    for file in chunks_dir.glob("*.parquet"):
        kind, *numbers = file.stem.split("-")
        if kind == "greedy" or int(numbers[1]) <= num_samples:
            file.unlink()
    with suppress(OSError):  # not empty, or absent
        chunks_dir.rmdir()


def prompt_length(prompt: Any) -> int:
    """Return the relative length of a prompt: its characters, plus one for every PATCH_PIXELS of an image."""
    images = images_in(prompt)
    text = prompt if not images else map_images(prompt, lambda image: "")
    return len(str(text)) + sum(image.width * image.height for image in images) // PATCH_PIXELS


def plan_chunks(prompt_lengths: Sequence[int], *, first: int, num_samples: int) -> Iterator[Chunk]:
    """Yield the chunks of samples `first` to `num_samples`; for `first` = −1 the greedy chunks come first.

    Problems are ordered by the length of their prompts, so that a chunk needs little padding.
    """
    by_length = sorted(range(len(prompt_lengths)), key=prompt_lengths.__getitem__)
    if first < 0:
        for number, group in enumerate(_groups(by_length, PROBLEMS_PER_CHUNK * SAMPLES_PER_CHUNK)):
            yield Chunk(f"greedy-{number:05d}", group)
    at = max(first, 0)
    while at < num_samples:
        end = min(num_samples, (at // SAMPLES_PER_CHUNK + 1) * SAMPLES_PER_CHUNK)
        for number, group in enumerate(_groups(by_length, PROBLEMS_PER_CHUNK)):
            yield Chunk(f"sample-{at:05d}-{end:05d}-{number:05d}", group, range(at, end))
        at = end


def _groups(indices: Sequence[int], most: int) -> list[tuple[int, ...]]:
    """Return consecutive groups of at most `most` indices, of nearly equal sizes."""
    num_groups = -(-len(indices) // most)
    bounds = [len(indices) * g // num_groups for g in range(num_groups + 1)]
    return [tuple(indices[a:b]) for a, b in itertools.pairwise(bounds)]


def _draw(engine: Engine, prompts: Sequence[Any], decoding: Decoding, seeds: Sequence[int] | None) -> Completions:
    """Return completions of all prompts, decoding.batch_size at a time; greedy ones without seeds."""
    parts = []
    for at in range(0, len(prompts), decoding.batch_size):
        batch = slice(at, at + decoding.batch_size)
        if seeds is None:
            parts.append(engine.greedy(prompts[batch], max_new_tokens=decoding.max_new_tokens))
        else:
            parts.append(engine.sample(prompts[batch], decoding, seeds=seeds[batch]))
    return Completions(
        texts=[text for part in parts for text in part.texts],
        num_tokens=[number for part in parts for number in part.num_tokens],
        truncated=[mark for part in parts for mark in part.truncated],
        mean_entropy=None
        if any(part.mean_entropy is None for part in parts)
        else [value for part in parts for value in part.mean_entropy or ()],
    )


def _chunk_table(
    engine: Engine, task: Task, problems: Sequence[Problem], decoding: Decoding, chunk: Chunk, *, benchmark: str
) -> pa.Table:
    """Return the rows of a chunk: completions, verdicts and lengths."""
    rows, greedy = chunk.rows, not chunk.samples
    chosen = [problems[i] for i, _ in rows]
    made = {i: task.prompt(problems[i]) for i in chunk.problems}  # once per problem, since it may load an image
    seeds = (
        None
        if greedy
        else [
            seed
            for i in chunk.problems
            for seed in sample_seeds(decoding.seed, decoding.stream, benchmark, str(problems[i]["id"]), chunk.samples)
        ]
    )
    drawn = _draw(engine, [made[i] for i, _ in rows], decoding, seeds)
    verdicts = task.verify_all(drawn.texts, chosen)
    n = len(rows)
    return pa.table(
        {
            "schema_version": [SCHEMA_VERSION] * n,
            "benchmark": [benchmark] * n,
            "problem_id": [str(p["id"]) for p in chosen],
            "decoding": ["greedy" if greedy else "sample"] * n,
            "sample": [s for _, s in rows],
            "completion": drawn.texts,
            "correct": [v.correct for v in verdicts],
            "valid": [v.valid for v in verdicts],
            "answer": pa.array([v.answer for v in verdicts], pa.string()),
            "rule": pa.array([v.rule for v in verdicts], pa.string()),
            "n_tokens": drawn.num_tokens,
            "truncated": drawn.truncated,
            "mean_entropy": pa.nulls(n, pa.float64()) if drawn.mean_entropy is None else drawn.mean_entropy,
            "temperature": [0.0 if greedy else float(decoding.temperature)] * n,
            "top_p": [1.0 if greedy else float(decoding.top_p)] * n,
        }
    )
