r"""Tasks with images: Geometry3K, MathVision, MathVerse, medical images, or any file in their form.

A row has `problem`, `answer`, `image` (a path relative to the file's folder, or a list of paths) and, for multiple
choice, `choices`; its answer is then a letter or the text of a choice. The tasks differ in their problems alone
(visual_sets.py). The reward components are accuracy and format: `<think>…</think>`, and then a \boxed{…}. The run
chooses their mixture (rewards.py).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agrae_lab.tasks.base import Problem, Verdict
from agrae_lab.tasks.prompts import LETTERS, visual_text
from agrae_lab.tasks.vision.choices import letters_of_text, read_choice
from agrae_lab.tasks.vision.images import ImageFile, check_image, fit, load_image
from agrae_lab.verify import Judgement, judge
from agrae_lab.verify.answers import boxed_answer, read_answer
from agrae_lab.verify.limits import MAX_CHARS

BAD_ROWS = ("refuse", "skip")
SHOWN_CHARS = 80  # of an answer that names no choice
CHOICE = "choice"  # the rule that decides on letters
_TAG = re.compile(r"<image([0-9]{0,3})>")


@dataclass
class VisualTask:
    """A task of visual_sets.VISUAL_SPLITS.

    max_pixels: larger images are scaled down to it; None: no scaling.
    on_bad_row: `refuse` a set with an unusable row, or `skip` such rows.

    Raises:
        ValueError: `on_bad_row` is unknown.
    """

    name: str
    max_pixels: int | None = None
    on_bad_row: str = "refuse"
    columns: tuple[str, ...] = field(default=("problem", "answer", "image"), init=False)
    components: tuple[str, ...] = field(default=("accuracy", "format"), init=False)
    default_reward: str = field(default="code", init=False)

    def __post_init__(self) -> None:
        if self.on_bad_row not in BAD_ROWS:
            raise ValueError(f"task.on_bad_row must be one of {', '.join(BAD_ROWS)}, got {self.on_bad_row!r}")

    def prompt(self, problem: Problem) -> list[dict[str, Any]]:
        """Return one message of text blocks and, at their tags, image blocks in mode RGB, freshly loaded."""
        images = [self._load(image) for image in problem["image"]]
        pieces = place_images(visual_text(problem["problem"], problem["choices"]), len(images))
        content = [
            {"type": "text", "text": piece} if isinstance(piece, str) else {"type": "image", "image": images[piece]}
            for piece in pieces
        ]
        return [{"role": "user", "content": content}]

    def _load(self, file: ImageFile) -> Any:
        image = load_image(file.path)
        return image if self.max_pixels is None else fit(image, max_pixels=self.max_pixels)

    def verify(self, completion: str, problem: Problem) -> Verdict:
        return self.verify_all([completion], [problem])[0]

    def verify_all(self, completions: Sequence[str], problems: Sequence[Problem]) -> list[Verdict]:
        """Judge a batch: letters by read_choice, other answers by the answer verifier."""
        pairs = list(zip(completions, problems, strict=True))
        free = [(text, p) for text, p in pairs if not _is_letter(p["answer"])]
        golds, questions = ([p[column] for _, p in free] for column in ("answer", "problem"))
        judgements = iter(judge([text for text, _ in free], golds, questions=questions))
        return [
            _judge_choice(text, p) if _is_letter(p["answer"]) else _to_verdict(text, next(judgements))
            for text, p in pairs
        ]


def _is_letter(answer: str) -> bool:
    return len(answer) == 1 and answer in LETTERS


def _to_verdict(completion: str, judgement: Judgement) -> Verdict:
    if not judgement.valid:
        return Verdict.invalid(judgement.rule)
    correct = judgement.outcome == "correct"
    return _verdict(completion, correct=correct, answer=judgement.answer, rule=judgement.rule)


def _judge_choice(completion: str, problem: Problem) -> Verdict:
    """Judge a completion that should name a letter. An answer that names no choice is recorded by its beginning."""
    reading = read_answer(completion)
    if (answer := reading.answer) is None:
        assert reading.rule is not None
        return _verdict(completion, correct=False, answer=None, rule=reading.rule)
    letter = None if len(answer) > MAX_CHARS else read_choice(answer, problem["choices"])
    shown = answer[:SHOWN_CHARS] if letter is None else letter
    return _verdict(completion, correct=letter == problem["answer"], answer=shown, rule=CHOICE)


def _verdict(completion: str, *, correct: bool, answer: str | None, rule: str) -> Verdict:
    components = {"accuracy": float(correct), "format": float(is_formatted(completion))}
    return Verdict(correct, float(correct), components=components, answer=answer, rule=rule)


def is_formatted(completion: str) -> bool:
    r"""Return whether a completion is `<think>…</think>` with a \boxed{…} somewhere after it.

    The paper's code rewards this form too, by a pattern that takes quadratic time on hostile text.
    """
    end = completion.find("</think>")
    return completion.startswith("<think>") and end > 0 and boxed_answer(completion[end:]) is not None


def visual_problem(row: Mapping[str, Any], problem: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return `problem` with a row's `image` (checked files) and `choices` (texts, or None).

    With choices the answer is a letter.

    Raises:
        ValueError: the fault of the row, in words that follow its name.
    """
    choices = _read_choices(row.get("choices"))
    answer = problem["answer"]
    if choices is not None:
        letter = read_choice(answer, choices)
        if letter is None:
            number = "several" if letters_of_text(answer, choices) else "none"
            listed = ", ".join(map(repr, choices))
            raise ValueError(f"the answer {answer!r} is the text of {number} of the choices {listed}")
        answer = letter
    given = row.get("image")
    entries = [] if given is None else given if isinstance(given, list) else [given]
    place_images(visual_text(problem["problem"], choices), len(entries))
    images = [_find_image(entry, folder) for entry in entries]
    return {"id": problem["id"], "problem": problem["problem"], "answer": answer, "image": images, "choices": choices}


def _read_choices(given: Any) -> list[str] | None:
    if given is None or given == []:
        return None
    if not isinstance(given, list) or not 2 <= len(given) <= len(LETTERS):
        raise ValueError(f"choices must be a list of 2 to {len(LETTERS)} texts, or null, got {given!r}")
    return [str(choice).strip() for choice in given]


def _find_image(entry: Any, folder: Path) -> ImageFile:
    if isinstance(entry, ImageFile):
        return check_image(entry.path)
    if not isinstance(entry, str) or not entry:
        raise ValueError(f"image must be a path or a list of paths, got {entry!r}")
    return check_image(folder / entry)


def place_images(text: str, num_images: int) -> list[str | int]:
    """Return a text cut at its image tags: pieces of text, and between them the indices of images.

    <image1>, <image2>, … are images by number, <image> is the next one. A single image goes first if it has no tag, or
    several numbered ones: sets such as MathVision draw all parts of a problem into one image, labelled by the tags.

    Raises:
        ValueError: there is no image, or images and tags do not match, in words that follow the row's name.
    """
    tags = list(_TAG.finditer(text))
    named = f"the image tags {', '.join(tag[0] for tag in tags)}" if tags else "no image tag"
    bare = itertools.count(1)
    numbers = [int(tag[1]) if tag[1] else next(bare) for tag in tags]
    if num_images == 0:
        raise ValueError(f"has {named} and no image")
    are_labels = len(set(numbers)) > 1 and all(tag[1] for tag in tags)
    if num_images == 1 and (not tags or are_labels):
        return [0, text]
    if set(numbers) != set(range(1, num_images + 1)):
        images = f"{num_images} image{'s' if num_images > 1 else ''}"
        raise ValueError(f"has {named} and {images}. Every tag needs an image, and each of several images a tag")
    pieces: list[str | int] = []
    at = 0
    for i, (tag, number) in enumerate(zip(tags, numbers, strict=True)):
        if number not in numbers[:i]:  # an image is shown at its first tag only
            pieces += [text[at : tag.start()], number - 1]
            at = tag.end()
    return [piece for piece in (*pieces, text[at:]) if piece != ""]
