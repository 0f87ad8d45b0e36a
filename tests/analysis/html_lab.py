"""The report as a document, and runs whose problems have images, for the tests of the report."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
from analysis_lab import BENCHMARK, Root

from agrae_lab.runs import SCHEMA_VERSION, Run, list_experiments
from analysis.__main__ import evaluate
from analysis.io.study import load_study
from analysis.report.result import Result

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<!--<script>",
    '<img src=x onerror="window.hacked = 1">',
    "{{ 7 * 7 }}{% raw %}",
    "\u2028\u2029\u202e\x00\x1b[31m\ufeff",
    "\"'><svg onload=alert(1)>",
    "]]>&lt;&#x3c;",
)
PNG = bytes.fromhex("89504e470d0a1a0a")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="300.5pt" viewBox="0 0 3 2"><circle cx="1" cy="1" r="1"/></svg>'
VOID = {"meta", "img", "input", "br", "line", "circle"}


class Document(HTMLParser):
    """Content of a page: its elements in order and the text of each kind; all elements must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts.setdefault(tag, []).append(data)

    def text(self, tag: str) -> str:
        return " ".join("".join(self.texts.get(tag, [])).split())


def check_harmless(document: Document) -> None:
    """No script but the page's own two, no handler, no link or image from elsewhere, everything closed."""
    assert document.open == []
    scripts = [attrs for tag, attrs in document.elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "data"}, {}]
    for tag, attrs in document.elements:
        assert tag not in ("iframe", "object", "embed", "link", "base"), tag
        assert not [name for name in attrs if name.startswith("on") or name in ("style", "srcset", "action")], attrs
        assert (attrs.get("href") or "#").startswith("#")
        assert (attrs.get("src") or "data:image/").startswith("data:image/")


def data_of(page: str) -> dict[str, Any]:
    """Return the data of the page's script."""
    return json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[0])


def result_of(root, name: str) -> Result:
    experiment = next(e for e in list_experiments(root.path) if e.name == name)
    return evaluate(load_study(root.path, experiment))


FINGERPRINTS = {"train": "0123456789ab", BENCHMARK: "ba9876543210"}


def png(width: int = 4, height: int = 3, *, grey: int = 0, noise: int = 0) -> bytes:
    """A grey picture as a run keeps one, made longer by a chunk of text."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 0, 0, 0, 0])
    rows = zlib.compress((b"\x00" + bytes([grey]) * width) * height)
    text = chunk(b"tEXt", b"x\x00" + b"y" * noise) if noise else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + text + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def keep(root: Path, name: str, pictures: dict[str, list[bytes]]) -> None:
    """Write thumbnails and index of a set of problems, as the trainer does."""
    folder = root / "pictures"
    index = folder / FINGERPRINTS[name] / "index.json"
    index.parent.mkdir(parents=True, exist_ok=True)
    names = {i: [hashlib.sha256(content).hexdigest() for content in contents] for i, contents in pictures.items()}
    for contents in pictures.values():
        for content in contents:
            (folder / f"{hashlib.sha256(content).hexdigest()}.png").write_bytes(content)
    index.write_text(json.dumps({"schema_version": SCHEMA_VERSION, "pictures": names}))


def pictured(root: Root, arm: str, *, like_last: str = "") -> Run:
    """A run whose problems have a picture each; the last problem has a second one, and maybe another name."""
    run = root.run(arm, data_fingerprints=FINGERPRINTS)
    keep(root.path, "train", {f"train-{i}": [png(grey=i)] for i in range(root.num_prompts)})
    ids = [f"problem-{i:03d}" for i in range(root.num_problems)]
    pictures = {name: [png(grey=100 + i)] for i, name in enumerate(ids)}
    pictures[ids[-1]].append(png(5, 5))
    if like_last:
        pictures[like_last] = pictures.pop(ids[-1])
        for path in (run.samples_path(BENCHMARK), run.base_samples_path(BENCHMARK)):
            frame = pd.read_parquet(path)
            frame.assign(problem_id=frame["problem_id"].replace(ids[-1], like_last)).to_parquet(path)
    keep(root.path, BENCHMARK, pictures)
    return run
