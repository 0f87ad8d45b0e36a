"""A task for tests: noisy pictures, dark or bright; right is a first letter of the alphabet's one half or the other."""

from typing import Any

import numpy as np
from PIL import Image

from agrae_lab.tasks.base import Problem, Task, Verdict


def draw(seed: int, *, is_bright: bool, size: tuple[int, int]) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 128, (*size[::-1], 3))
    return Image.fromarray((noise + 127 * is_bright).astype(np.uint8))


class Shades(Task):
    name = "shades"
    columns = ("sizes", "is_bright")
    components = ()

    def prompt(self, problem: Problem) -> list[dict[str, Any]]:
        pictures = [
            draw(100 * int(problem["id"]) + i, is_bright=problem["is_bright"], size=tuple(size))
            for i, size in enumerate(problem["sizes"])
        ]
        blocks = [{"type": "image", "image": picture} for picture in pictures]
        text = "shade" if int(problem["id"]) % 2 else "dark or bright"
        return [{"role": "user", "content": [*blocks, {"type": "text", "text": text}]}]

    def verify(self, completion: str, problem: Problem) -> Verdict:
        correct = completion[:1].isalpha() and (completion[0].lower() < "n") == problem["is_bright"]
        return Verdict(correct, float(correct), answer=completion[:1] or None)


TASK = Shades()
