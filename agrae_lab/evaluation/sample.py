"""Sampling n completions per problem and decoding greedily, in chunks that survive an interruption.

    <benchmark>/samples.parquet         one row per (problem, sample), and one greedy row (sample −1) per problem
    <benchmark>/chunks/sample-00003.parquet   while it is not finished

Each chunk has its own random stream, made from the evaluation seed and its number, so that an interrupted evaluation
ends with the same samples as an unbroken one, and several processes may share the chunks among them.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from agrae_lab.evaluation.engine import Decoding, Engine
from agrae_lab.runs import SCHEMA_VERSION, replacing
from agrae_lab.tasks import Problem, Task
from agrae_lab.tasks.encoding import map_pictures, pictures_of

GREEDY = -1  # the `sample` of a greedy row
POLL_SECONDS = 1.0  # between looks for other processes' chunks


def evaluate(
    engine: Engine,
    task: Task,
    problems: Sequence[Problem],
    decoding: Decoding,
    path: Path,
    *,
    shard: tuple[int, int] = (0, 1),
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write `path`/samples.parquet unless it is there; finished chunks of an earlier attempt are kept.

    Args:
        shard: (i, m): this is the i-th of m processes that share the work. Process 0 waits for the others' chunks and
            puts them together; the others return when theirs are written.
        on_progress: called with (chunks done, chunks in all).
    """
    if (path / "samples.parquet").is_file():
        return
    chunks_dir = path / "chunks"
    plan = _plan_chunks([prompt_length(task.prompt(p)) for p in problems], decoding)
    chunks = {chunks_dir / f"{name}.parquet": rows for name, rows in plan.items()}
    for number, (chunk, rows) in enumerate(chunks.items()):
        on_progress(sum(part.is_file() for part in chunks), len(chunks))
        if number % shard[1] == shard[0] and not chunk.is_file():
            chunks_dir.mkdir(parents=True, exist_ok=True)
            table = _chunk_table(engine, task, problems, decoding, rows, stream=number, benchmark=path.name)
            with replacing(chunk) as temporary:
                pq.write_table(table, temporary, write_page_checksum=True)
    if shard[0] > 0:
        return
    while (done := sum(chunk.is_file() for chunk in chunks)) < len(chunks):
        on_progress(done, len(chunks))
        time.sleep(POLL_SECONDS)
    _put_together(list(chunks), path / "samples.parquet")
    shutil.rmtree(chunks_dir)
    on_progress(len(chunks), len(chunks))


def _put_together(chunks: Sequence[Path], path: Path) -> None:
    """One file of all chunks, a row group each: never more than one chunk is in memory.

    A column that chunks of an earlier version lack is null in their rows.
    """
    schema = pa.unify_schemas([pq.read_schema(chunk) for chunk in chunks])
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as out,
    ):
        for chunk in chunks:
            table = pq.read_table(chunk)
            columns = [
                table[field.name] if field.name in table.column_names else pa.nulls(len(table), field.type)
                for field in schema
            ]
            out.write_table(pa.table(columns, schema=schema))


def prompt_length(prompt: Any) -> int:
    """How long a prompt is beside others: characters, and 784 pixels of a picture count as one."""
    pictures = pictures_of(prompt)
    text = prompt if not pictures else map_pictures(prompt, lambda picture: "")
    return len(str(text)) + sum(picture.width * picture.height for picture in pictures) // 784


def _plan_chunks(prompt_lengths: Sequence[int], decoding: Decoding) -> dict[str, list[tuple[int, int]]]:
    """Chunk name → its (problem index, sample) pairs; the greedy chunks first.

    Problems come by the length of their prompts, so that a chunk wastes little on padding.
    """
    size = decoding.batch_size
    by_length = sorted(range(len(prompt_lengths)), key=prompt_lengths.__getitem__)
    greedy = [(i, GREEDY) for i in by_length]
    samples = [(i, s) for i in by_length for s in range(decoding.num_samples)]
    chunks = {f"greedy-{at // size:05d}": greedy[at : at + size] for at in range(0, len(greedy), size)}
    return chunks | {f"sample-{at // size:05d}": samples[at : at + size] for at in range(0, len(samples), size)}


def _chunk_table(
    engine: Engine,
    task: Task,
    problems: Sequence[Problem],
    decoding: Decoding,
    rows: list[tuple[int, int]],
    *,
    stream: int,
    benchmark: str,
) -> pa.Table:
    chosen = [problems[i] for i, _ in rows]
    made = {i: task.prompt(problems[i]) for i, _ in rows}  # once a problem: making one may mean reading a picture
    prompts = [made[i] for i, _ in rows]
    greedy = rows[0][1] == GREEDY
    if greedy:
        drawn = engine.greedy(prompts, max_new_tokens=decoding.max_new_tokens)
    else:
        drawn = engine.sample(prompts, decoding, stream=stream)
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
            "temperature": [0.0 if greedy else decoding.temperature] * n,
            "top_p": [1.0 if greedy else decoding.top_p] * n,
        }
    )
