"""Small pictures of the problems, kept once for all runs on them; ids never reach the file system."""

import hashlib
import json
from dataclasses import dataclass, field

import pytest
from PIL import Image

from agrae_lab.runs import Run, failpoints, lock
from agrae_lab.training import thumbnails
from agrae_lab.training.thumbnails import SIDE, keep_thumbnails
from tests.failpoints_lab import broken

HOSTILE = ["../../etc/passwd", "/", "..", "a\x00b", "\u202e", "x" * 5000, "<img src=x>", ""]


@dataclass
class Pictured:
    """A task whose problems say the size and colour of each of their pictures."""

    loaded: list[str] = field(default_factory=list)

    def prompt(self, problem):
        self.loaded.append(problem["id"])
        if problem.get("broken"):
            raise ValueError("picture x is truncated")
        blocks = [{"type": "image", "image": Image.new("RGB", size, colour)} for size, colour in problem["pictures"]]
        return [{"role": "user", "content": [*blocks, {"type": "text", "text": "?"}]}]


class Text:
    def prompt(self, problem):
        return "a text"


def problem(name, *pictures, **more):
    return {"id": name, "pictures": pictures, **more}


@pytest.fixture
def task(monkeypatch):
    task = Pictured()
    monkeypatch.setattr(thumbnails, "load_task", lambda name, section: {"pictured": task, "text": Text()}[name])
    return task


def run_of(root, task="pictured", **fingerprints):
    config = {
        "task": {"name": task},
        "evaluation": {"benchmarks": {name: {"task": task} for name in fingerprints if name != "train"}},
        "data_fingerprints": fingerprints,
    }
    return Run(root / "arm-12345678" / "seed-0", config)


def index(root, fingerprint):
    return json.loads((root / "pictures" / fingerprint / "index.json").read_text())["pictures"]


def size_of(root, name):
    with Image.open(root / "pictures" / f"{name}.png") as image:
        return image.size


def test_pictures_are_small_and_kept_once_by_content(tmp_path, task):
    wide, tall, tiny = ((1000, 10), "red"), ((30, 900), "blue"), ((5, 7), "red")
    sets = {"train": [problem("a", wide, tall), problem("b", tiny), problem("c", tall)], "test": [problem("a", tiny)]}
    keep_thumbnails(run_of(tmp_path, train="f1", test="f2"), sets)
    names = index(tmp_path, "f1")
    assert names["a"][1] == names["c"][0]
    assert index(tmp_path, "f2") == {"a": names["b"]}
    files = sorted((tmp_path / "pictures").glob("*.png"))
    assert len(files) == 3
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem
    assert [size_of(tmp_path, name) for name in (*names["a"], *names["b"])] == [(SIDE, 3), (9, SIDE), (5, 7)]


def test_who_comes_second_loads_nothing(tmp_path, task):
    sets = {"train": [problem("a", ((5, 5), "red")), problem("b", ((5, 5), "blue"))]}
    keep_thumbnails(run_of(tmp_path, train="f1"), sets)
    task.loaded.clear()
    keep_thumbnails(run_of(tmp_path, train="f1"), sets)
    assert task.loaded == []


@pytest.mark.parametrize("kind", failpoints.KINDS)
@pytest.mark.parametrize("name", ["thumbnail", "manifest"])
def test_thumbnails_broken_at_a_write_are_whole_after_the_next_run(tmp_path, task, name, kind):
    sets = {"train": [problem("a", ((5, 5), "red")), problem("b", ((5, 5), "blue"))]}
    number = 2 if name == "thumbnail" else 1
    assert broken(lambda: keep_thumbnails(run_of(tmp_path, train="f1"), sets), name, number, kind), "not reached"
    keep_thumbnails(run_of(tmp_path, train="f1"), sets)
    if (name, kind) != ("manifest", "flip"):  # still JSON, perhaps with another id: that problem's picture is missing
        assert set(index(tmp_path, "f1")) == {"a", "b"}
    files = list((tmp_path / "pictures").glob("*.png"))
    assert len(files) == 2
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.stem for path in files)


def test_while_another_run_is_at_it_nothing_is_done_twice(tmp_path, task):
    run = run_of(tmp_path, train="f1")
    sets = {"train": [problem("a", ((5, 5), "red"))]}
    with lock(tmp_path / "pictures" / "f1"):
        keep_thumbnails(run, sets)
    assert not (tmp_path / "pictures" / "f1" / "index.json").exists()
    keep_thumbnails(run, sets)
    assert list(index(tmp_path, "f1")) == ["a"]


def test_ids_are_no_file_names(tmp_path, task):
    root = tmp_path / "root"
    keep_thumbnails(run_of(root, train="f1"), {"train": [problem(name, ((5, 5), "red")) for name in HOSTILE]})
    assert set(index(root, "f1")) == set(HOSTILE)
    made = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    (name,) = {names[0] for names in index(root, "f1").values()}
    assert made == {f"root/pictures/{name}.png", "root/pictures/f1/index.json", "root/pictures/f1/.lock"}


def test_a_picture_that_cannot_be_loaded_is_left_out(tmp_path, task):
    sets = {"train": [problem("a", ((5, 5), "red")), problem("b", broken=True)]}
    keep_thumbnails(run_of(tmp_path, train="f1"), sets)
    assert index(tmp_path, "f1")["b"] == []


def test_tasks_of_text_have_no_pictures(tmp_path, task):
    keep_thumbnails(run_of(tmp_path, "text", train="f1"), {"train": [problem("a")]})
    assert list(tmp_path.iterdir()) == []


def test_a_run_on_text_keeps_none(small_run):
    assert not (small_run("advantage=grpo").root / "pictures").exists()
