"""Shapes: count shapes, add bars of a diagram or find the longest of four lines in a small drawn image.

The task of the nano_vl world. A row describes an image, which is drawn for each prompt. `problem` is the question,
`scene` the content of the image:

    count circles    sixteen cells, row by row: c(ircle), s(quare), t(riangle), d(iamond), x (cross) or . (nothing)
    add 2 5          the heights of five bars, 1 to 9; the answer is the sum of the named ones
    longest line     the lengths of four lines in pixels, from the top; the answer is a, b, c or d

`seed` decides places and colours. `look` is plain, where most shapes have the colour of their kind, or strange, for
problems outside the domain: other colours on a noisy ground, hollow bars, thinner lines, and shapes that no question
names. Difficulty grows with the number of shapes and bars, and shrinks with the gap between the two longest lines.
The answer of a completion is the text after its last equals sign, or all of it without one; a completion of more than
MAX_COMPLETION_CHARS characters has none.

    python -m agrae_lab.tasks.vision.shapes     # rewrites the files shapes_*.jsonl in data/
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from agrae_lab.tasks.base import Problem, Task, Verdict

DATA = Path(__file__).parents[1] / "data"
SIDE = 64  # pixels; cells of the grid are 16 wide, which is one image token of the nano_vl model
ASKED = {"c": "circles", "s": "squares", "t": "triangles"}
UNASKED = "dx"
# Red circles, green squares, blue triangles. FAVOURED is the share that gets this colour on purpose; a third of the
# rest gets it by chance, so that 5 in 6 have it.
FAVOURITES, FAVOURED = {"c": 0, "s": 1, "t": 2}, 0.75
NUM_CELLS, MAX_COUNT = 16, 9
NUM_BARS, MAX_HEIGHT = 5, 9
LETTERS = "abcd"
LENGTHS = range(8, 57, 2)  # pixels
MAX_COMPLETION_CHARS = 64  # a longer completion has no answer
ANSWER = re.compile(r"0|[1-9][0-9]?|[a-d]", flags=re.ASCII)
FILES = {  # file in DATA → number of problems and look
    "shapes_test": (126, "plain"),
    "shapes_strange_test": (126, "strange"),
    "shapes_train": (1536, "plain"),
}
SEED = 20260205

Row = dict[str, str | int]


class Shapes(Task):
    name = "shapes"
    columns = ("problem", "scene", "look", "seed", "answer")
    components = ("accuracy", "format")  # the default reward is accuracy alone

    def prompt(self, problem: Problem) -> list[dict[str, Any]]:
        image, text = {"type": "image", "image": draw(problem)}, {"type": "text", "text": problem["problem"]}
        return [{"role": "user", "content": [image, text]}]

    def verify(self, completion: str, problem: Problem) -> Verdict:
        answer = read_answer(completion)
        correct = answer is not None and answer == str(problem["answer"])
        components = {"accuracy": float(correct), "format": float(answer is not None)}
        return Verdict(correct, float(correct), components=components, answer=answer)


TASK = Shapes()


def read_answer(completion: str) -> str | None:
    """Return the final number of at most two digits, or letter a to d, of a completion.

    None without one, and for a completion of more than MAX_COMPLETION_CHARS characters.
    """
    if len(completion) > MAX_COMPLETION_CHARS:
        return None
    answer = completion.rpartition("=")[2]
    return answer if ANSWER.fullmatch(answer) else None


def solve(problem: str, scene: str) -> str:
    """Return the completion that a model is taught: the sum, if there is one, and the answer."""
    kind, *wanted = problem.split()
    if kind == "count":
        rows = [scene[at : at + 4].count(wanted[0][0]) for at in range(0, NUM_CELLS, 4)]
        return f"{'+'.join(map(str, rows))}={sum(rows)}"
    if kind == "add":
        heights = [int(scene[int(bar) - 1]) for bar in wanted]
        return str(heights[0]) if len(heights) == 1 else f"{'+'.join(map(str, heights))}={sum(heights)}"
    lengths = [int(length) for length in scene.split()]
    return LETTERS[lengths.index(max(lengths))]


# Drawing


def draw(problem: Mapping[str, Any]) -> Image.Image:
    """Return the image of a row, RGB, SIDE × SIDE pixels; equal rows give equal images.

    Raises:
        ValueError: as `check`.
    """
    check(problem)
    rng, strange = random.Random(problem["seed"]), problem["look"] == "strange"
    image = _ground(problem["seed"], strange)
    painter = {"count": _draw_cells, "add": _draw_bars, "longest": _draw_lines}[problem["problem"].split()[0]]
    painter(ImageDraw.Draw(image), problem["scene"], rng, strange)
    return image


_FORMS = {
    "count (circles|squares|triangles)": f"[cstdx.]{{{NUM_CELLS}}}",
    "add [1-5]( [1-5]){0,2}": f"[1-9]{{{NUM_BARS}}}",
    "longest line": r"([1-9]|[1-5][0-9])( ([1-9]|[1-5][0-9])){3}",
}


def check(problem: Mapping[str, Any]) -> None:
    """Raise ValueError unless the row's problem, scene, look and seed are valid."""
    where = f"problem {problem.get('id')!r} of the task shapes"
    asked, scene, seed = problem["problem"], problem["scene"], problem["seed"]
    form = next((scenes for problems, scenes in _FORMS.items() if _matches(problems, asked)), None)
    if form is None:
        raise ValueError(f"{where}: problem must be like 'count circles', 'add 2 5' or 'longest line', got {asked!r}")
    if not _matches(form, scene):
        raise ValueError(f"{where}: the scene of {asked!r} must be of the form {form}, got {scene!r}")
    if problem["look"] not in ("plain", "strange"):
        raise ValueError(f"{where}: look must be plain or strange, got {problem['look']!r}")
    if type(seed) is not int or seed < 0:
        raise ValueError(f"{where}: seed must be a whole number of at least 0, got {seed!r}")


def _matches(form: str, text: Any) -> bool:
    return isinstance(text, str) and re.fullmatch(form, text, re.ASCII) is not None


def _ground(seed: int, strange: bool) -> Image.Image:
    if not strange:
        return Image.new("RGB", (SIDE, SIDE), "white")
    noise = np.random.default_rng(seed).integers(190, 250, size=(SIDE, SIDE, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def _colour(rng: random.Random, strange: bool, favourite: int | None = None) -> tuple[int, int, int]:
    """Return a plain colour, red (0), green (1) or blue (2), mostly the favourite; or a strange mixture of two."""
    if favourite is None or rng.random() > FAVOURED:
        favourite = rng.randrange(3)
    weak = {(favourite + 1) % 3, (favourite + 2) % 3} if not strange else {favourite}
    red, green, blue = (rng.randint(0, 80) if c in weak else rng.randint(150, 220) for c in range(3))
    return red, green, blue


def _draw_cells(pen: ImageDraw.ImageDraw, scene: str, rng: random.Random, strange: bool) -> None:
    for cell, shape in enumerate(scene):
        row, column = divmod(cell, 4)
        radius = rng.randint(3, 6)
        room = 7 - radius
        x, y = (16 * at + 8 + rng.randint(-room, room) for at in (column, row))
        colour = _colour(rng, strange, None if strange else FAVOURITES.get(shape))
        if shape == "c":
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        elif shape == "s":
            pen.rectangle((x - radius, y - radius, x + radius, y + radius), fill=colour)
        elif shape == "t":
            pen.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=colour)
        elif shape == "d":
            pen.polygon([(x, y - radius), (x - radius, y), (x, y + radius), (x + radius, y)], fill=colour)
        elif shape == "x":
            pen.line((x - radius, y - radius, x + radius, y + radius), fill=colour, width=2)
            pen.line((x - radius, y + radius, x + radius, y - radius), fill=colour, width=2)


def _draw_bars(pen: ImageDraw.ImageDraw, scene: str, rng: random.Random, strange: bool) -> None:
    """Draw bars of six pixels per unit of height."""
    bottom = SIDE - 4
    pen.line((0, bottom, SIDE, bottom), fill="black")
    for bar, height in enumerate(scene):
        x, width = 4 + 12 * bar, rng.randint(5, 8)
        box = (x, bottom - 6 * int(height), x + width, bottom)
        colour = _colour(rng, strange)
        pen.rectangle(box, fill=None if strange else colour, outline=colour, width=2)


def _draw_lines(pen: ImageDraw.ImageDraw, scene: str, rng: random.Random, strange: bool) -> None:
    """Draw horizontal lines at random places, one in each quarter of the height."""
    for row, length in enumerate(map(int, scene.split())):
        x, y = rng.randint(2, SIDE - 2 - length), 16 * row + 8 + rng.randint(-3, 3)
        pen.line((x, y, x + length - 1, y), fill=_colour(rng, strange), width=1 if strange else 3)


# Problems


def random_problems(rng: random.Random, *, look: str = "plain") -> Iterator[Row]:
    """Yield problems (without id) of counting, adding and comparing in turn, without end."""
    while True:
        for question in (_random_count, _random_add, _random_longest):
            problem, scene = question(rng, look == "strange")
            answer = solve(problem, scene).rpartition("=")[2]
            yield {"problem": problem, "scene": scene, "look": look, "seed": rng.randrange(10**6), "answer": answer}


def _random_count(rng: random.Random, strange: bool) -> tuple[str, str]:
    asked = rng.choice(list(ASKED))
    count = rng.randint(0, MAX_COUNT)
    others = [c for c in (*ASKED, *(UNASKED if strange else "")) if c != asked]
    cells = [asked] * count + rng.choices(others, k=rng.randint(2, NUM_CELLS - count - 2))
    cells += "." * (NUM_CELLS - len(cells))
    return f"count {ASKED[asked]}", "".join(rng.sample(cells, NUM_CELLS))


def _random_add(rng: random.Random, strange: bool) -> tuple[str, str]:
    bars = sorted(rng.sample(range(1, NUM_BARS + 1), rng.randint(1, 3)))
    return f"add {' '.join(map(str, bars))}", "".join(str(rng.randint(1, MAX_HEIGHT)) for _ in range(NUM_BARS))


def _random_longest(rng: random.Random, strange: bool) -> tuple[str, str]:
    return "longest line", " ".join(map(str, rng.sample(LENGTHS, len(LETTERS))))


def content(problem: Problem) -> tuple[str, str]:
    """Return question and scene of a problem, without places, colours and look."""
    return problem["problem"], problem["scene"]


def make_files(*, seed: int = SEED) -> dict[str, list[Row]]:
    """Return the problems of each file, test, test outside the domain and training, without repeated content."""
    rng = random.Random(seed)
    seen: set[tuple[str, str]] = set()
    files: dict[str, list[Row]] = {}
    for file, (count, look) in FILES.items():
        rows: list[Row] = []
        for problem in random_problems(rng, look=look):
            if len(rows) == count:
                break
            if content(problem) not in seen:
                seen.add(content(problem))
                rows.append({"id": f"{file.removeprefix('shapes_')}-{len(rows):04d}", **problem})
        files[file] = rows
    return files


if __name__ == "__main__":
    for file, rows in make_files().items():
        path = DATA / f"{file}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        print(f"{path}: {len(rows)} problems")
