"""Tasks with images: rows, prompts, verdicts; and all real rows that are at hand."""

import json
from dataclasses import replace

import datasets
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from agrae_lab import runs
from agrae_lab.config import ConfigError, problem_sets
from agrae_lab.lifecycle import _problem_sets
from agrae_lab.tasks import fingerprint_problems, load_problems, load_task, task_settings
from agrae_lab.tasks.prompts import LETTERS, VISUAL_INSTRUCTION
from agrae_lab.tasks.vision.choices import read_choice
from agrae_lab.tasks.vision.visual import VisualTask, is_formatted, place_images
from agrae_lab.tasks.vision.visual_sets import HUB_SETS, VISUAL_SPLITS, read_visual_hub_set, split_choices
from tests.public_data import PROBLEMS
from tests.training.conftest import compose_config

REAL = {"mathvision": "mathvision_testmini.jsonl", "geo3k": "geo3k.jsonl"}
TASK = VisualTask("geo3k")
CHOICES = ["30", r"$40^\circ$", r"\text{none of these}", "x+b", "1/2"]
ROW = {"id": "a", "problem": "Find $x$.", "answer": "B", "image": "a.png", "choices": ["3", "4"]}


@pytest.fixture
def folder(tmp_path):
    for name, colour in (("a.png", (255, 0, 0)), ("b.png", (0, 0, 255))):
        Image.new("RGB", (8, 6), colour).save(tmp_path / name)
    return tmp_path


def write(folder, *rows, name="rows.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def load(folder, *rows, task=TASK, **options):
    return load_problems(task, "train", file=write(folder, *rows), **options)


def boxed(answer):
    return rf"<think>so</think> \boxed{{{answer}}}"


def blocks(message):
    """Texts, and the colour of each image."""
    (turn,) = message
    assert turn["role"] == "user"
    return [b["text"] if b["type"] == "text" else b["image"].getpixel((0, 0)) for b in turn["content"]]


# --- real rows


@pytest.mark.parametrize("name", REAL)
def test_every_real_row_loads_prompts_and_verifies(name):
    task = load_task(name)
    problems = load_problems(task, "test", file=PROBLEMS / REAL[name])
    assert len(problems) == len((PROBLEMS / REAL[name]).read_text().splitlines()) >= 10
    for problem in problems:
        (turn,) = task.prompt(problem)
        images = [b["image"] for b in turn["content"] if b["type"] == "image"]
        assert [image.mode for image in images] == ["RGB"]
        text = "".join(b["text"] for b in turn["content"] if b["type"] == "text")
        assert text.endswith(VISUAL_INSTRUCTION)
        assert "<image>" not in text
        assert all(f"({letter})" in text for letter in LETTERS[: len(problem["choices"] or ())])
    right = task.verify_all([boxed(p["answer"]) for p in problems], problems)
    assert [p["id"] for p, v in zip(problems, right, strict=True) if not v.correct] == []
    assert {v.reward for v in right} == {1.0}
    wrong = task.verify_all([boxed(another(p)) for p in problems], problems)
    assert [p["id"] for p, v in zip(problems, wrong, strict=True) if v.correct or not v.valid] == []
    assert {v.reward for v in wrong} == {0.1}


def another(problem):
    """Another letter where the answer is one, else another number."""
    is_letter = len(problem["answer"]) == 1 and problem["answer"] in LETTERS
    return "ABCDA"["ABCDE".index(problem["answer"]) - 4] if is_letter else "98765"


@pytest.mark.parametrize("name", REAL)
def test_a_real_choice_in_its_own_words_is_its_letter(name):
    problems = [p for p in load_problems(load_task(name), "test", file=PROBLEMS / REAL[name]) if p["choices"]]
    told = [(p, letter, text) for p in problems for letter, text in zip(LETTERS, p["choices"], strict=False)]
    odd = [(p["id"], letter) for p, letter, text in told if read_choice(text, p["choices"]) != letter]
    letters_of_others = [("mathvision_testmini/654", "C"), ("mathvision_testmini/742", "D")]
    letters_of_others += [("mathvision_testmini/1893", "B")]
    assert odd == (letters_of_others if name == "mathvision" else [])


# --- prompts


def test_the_prompt_of_a_choice_among_images_and_text(folder):
    (problem,) = load(folder, ROW)
    text = f"Find $x$.\nChoices, of which the letter is the answer:\n(A) 3\n(B) 4\n{VISUAL_INSTRUCTION}"
    assert blocks(TASK.prompt(problem)) == [(255, 0, 0), text]
    assert "reasoning process MUST BE enclosed within <think> </think> tags" in text
    assert r"MUST BE put in \boxed{}" in text
    (letters,) = load(folder, {**ROW, "choices": ["A", "B"]})
    assert "\n(A)\n(B)\n" in blocks(TASK.prompt(letters))[1]
    (free,) = load(folder, {**ROW, "answer": 4, "choices": None})
    assert blocks(TASK.prompt(free)) == [(255, 0, 0), f"Find $x$.\n{VISUAL_INSTRUCTION}"]


def test_images_stand_where_their_tags_do(folder):
    row = {**ROW, "problem": "Is <image2> in <image1>, <image2>?", "image": ["a.png", "b.png"], "choices": None}
    (problem,) = load(folder, row)
    assert blocks(TASK.prompt(problem)) == [
        "Is ",
        (0, 0, 255),
        " in ",
        (255, 0, 0),
        f", <image2>?\n{VISUAL_INSTRUCTION}",
    ]
    (problem,) = load(folder, {**ROW, "problem": "Which?", "choices": ["<image>", "<image>"], "image": row["image"]})
    assert blocks(TASK.prompt(problem))[1::2] == [(255, 0, 0), (0, 0, 255)]


@pytest.mark.parametrize(
    ("text", "num_images", "pieces"),
    [
        ("x", 1, [0, "x"]),
        ("<image>x", 1, [0, "x"]),
        ("x<image1>", 1, ["x", 0]),
        ("<image1>, <image1>", 1, [0, ", <image1>"]),
        ("<image1> or <image2>", 1, [0, "<image1> or <image2>"]),  # labels within the image
        ("<image><image>", 2, [0, 1]),
        ("<image2>a<image1>", 2, [1, "a", 0]),
    ],
)
def test_where_images_go(text, num_images, pieces):
    assert place_images(text, num_images) == pieces


def test_a_pixel_budget_scales_images_down(folder):
    (problem,) = load(folder, ROW)
    image = load_task("geo3k", {"name": "geo3k", "max_pixels": 12}).prompt(problem)[0]["content"][0]["image"]
    assert image.size == (4, 3)
    assert TASK.prompt(problem)[0]["content"][0]["image"].size == (8, 6)


# --- verdicts


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        *(
            (form, "B")
            for form in ("B", "(B)", r"\text{B}", "B.", r"\text{(B)}", "$B$", r"\mathbf{B}", "{B}", "b", "(b)")
        ),
        *(
            (form, "B")
            for form in ("B: 40", r"B. 40^{\circ}", "(B) 40", r"B\text{: }40", "Option B", "B) forty", "[B]")
        ),
        *((form, "B") for form in ("40", "40°", r"40^\circ", "$40$")),
        *((form, "E") for form in ("0.5", r"\frac{1}{2}", r"\dfrac12", "1/2", "E: 0.5")),
        *((form, "C") for form in ("None of these", r"\text{none of these}", "C: none")),
        *((form, None) for form in ("", "F", "A, B", "A or B", "(A) and (B)", "AB", "B: 30", "41", "Banana", "b: 30")),
    ],
)
def test_letters_and_own_words(answer, letter):
    assert read_choice(answer, CHOICES) == letter


def test_a_letter_is_a_letter_even_where_a_choice_is_another_one():
    assert read_choice("C", ["A", "C", "C", "it depends"]) == "C"
    assert read_choice("b", ["a+b", "b", "a"]) == "B"
    assert read_choice("a", ["a+b", "b", "a"]) == "C"  # before a letter in lower case
    assert read_choice("3", ["3", "3.0", "4"]) is None  # two choices, one value
    assert read_choice("Q", None) == "Q"
    assert read_choice("q", None) is None  # R and r are two names where no choice says otherwise


def test_letters_without_choices_count_in_upper_case_alone():
    problem = {"id": "a", "problem": "p", "answer": "R", "image": [], "choices": None}
    assert [TASK.verify(boxed(text), problem).correct for text in ("R", "(R)", "r", "(r)")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("completion", "answer", "rule"),
    [
        ("The answer is (B).", "B", "choice"),
        ("<think>A</think> So the answer is B, since 40 fits.", "B", "choice"),
        ("Answer: 40°", "B", "choice"),
        ("The answer is A or B.", "A or B", "choice"),
        ("The answer is (A).", "A", "choice"),
        ("I do not know.", None, "no answer"),
        (r"\boxed{}", None, "no answer"),
        (r"The answer is B. \boxed{B", None, "unclosed box"),
        ("<think> the answer is B", None, "unfinished thought"),
    ],
)
def test_a_sentence_names_a_choice_and_a_missing_answer_has_its_reason(completion, answer, rule):
    problem = {"id": "a", "problem": "p", "answer": "B", "image": [], "choices": CHOICES}
    verdict = TASK.verify(completion, problem)
    assert (verdict.correct, verdict.answer, verdict.rule, verdict.valid) == (answer == "B", answer, rule, True)


def test_verdicts_have_both_parts():
    problem = {"id": "a", "problem": "p", "answer": "B", "image": [], "choices": CHOICES}
    texts = [
        boxed("B"),
        r"so \boxed{B}",
        boxed("A"),
        "<think>B</think> B",
        r"\boxed{B",
        boxed("x" * 10_000),
        boxed("?"),
    ]
    verdicts = TASK.verify_all(texts, [problem] * len(texts))
    assert [tuple(v.components.values()) for v in verdicts] == [(1, 1), (1, 0), (0, 1), (0, 0), (0, 0), (0, 1), (0, 1)]
    assert [v.answer for v in verdicts] == ["B", "B", "A", None, None, "x" * 80, "?"]
    assert all(v.valid and v.correct == bool(v.components["accuracy"]) == bool(v.reward) for v in verdicts)
    assert TASK.verify(texts[0], problem) == verdicts[0]


def test_free_answers_are_judged_by_value_and_letters_beside_them():
    free = {"id": "a", "problem": "p", "answer": "140°", "image": [], "choices": None}
    letter, expression = {**free, "answer": "C"}, {**free, "answer": "2x"}
    texts = [
        boxed(r"140^\circ"),
        boxed("C"),
        boxed("140"),
        boxed("139"),
        boxed("(C)"),
        boxed(r"\binom{10^9+1}{500000000}"),
        "is 140",
    ]
    verdicts = TASK.verify_all(texts, [free, letter, free, free, letter, expression, free])
    assert [v.correct for v in verdicts] == [True, True, True, False, True, False, False]
    assert [v.valid for v in verdicts] == [True] * 5 + [False, True]


def test_the_codes_mixture_pays_unless_the_run_says_otherwise():
    problem = {"id": "a", "problem": "p", "answer": "B", "image": [], "choices": CHOICES}
    for settings, rewards in ((None, (0.9, 0.1)), ({"reward": "paper"}, (0.1, 0.9)), ({"reward": "accuracy"}, (1, 0))):
        task = load_task("mathverse", settings)
        assert tuple(task.verify(text, problem).reward for text in (r"\boxed{B}", boxed("A"))) == rewards


@pytest.mark.parametrize(
    ("completion", "formatted"),
    [
        (r"<think>a</think>\boxed{1}", True),
        ("<think>a\n</think>\nso\n\\boxed{\\frac{1}{2}}.", True),
        (r"a <think>a</think>\boxed{1}", False),
        (r"<think>\boxed{1}</think>", False),
        (r"<think>\boxed{1}", False),
        (r"</think>\boxed{1}<think>", False),
        (r"<think></think>\boxed{", False),
        (r"<think></think>\boxed{}", False),
    ],
)
def test_the_form_that_is_rewarded(completion, formatted):
    assert is_formatted(completion) is formatted


@pytest.mark.parametrize(
    "unit", ["<think>", "</think>", r"\boxed{", "<think></think>", r"</think>\boxed{", "{", r"\text{", "(A", "°"]
)
def test_hostile_completions_take_no_time_to_speak_of(unit):
    """In the paper's pattern some of these take minutes. The bound is on work: a hanging test is the failure."""
    problem = {"id": "a", "problem": "p", "answer": "B", "image": [], "choices": CHOICES}
    for text in (unit * 100_000, "<think>" + unit * 100_000, rf"<think></think>\boxed{{{unit * 80}}}"):
        assert not TASK.verify(text, problem).correct


# --- bad rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "nowhere.png"}, r"image .*nowhere.png does not exist"),
        ({"image": "cut.png"}, r"image .*cut.png is truncated or damaged"),
        ({"image": None}, "has no image tag and no image"),
        ({"image": []}, "has no image tag and no image"),
        ({"image": None, "problem": "In <image1>?"}, "has the image tags <image1> and no image"),
        ({"image": ["a.png", "b.png"]}, "has no image tag and 2 images. Every tag needs"),
        ({"image": ["a.png", "b.png"], "problem": "<image>?"}, "has the image tags <image> and 2 images. Every"),
        (
            {"image": ["a.png", "b.png"], "problem": "<image1> <image3>?"},
            "has the image tags <image1>, <image3> and 2 images",
        ),
        ({"problem": "<image> and <image>?"}, "has the image tags <image>, <image> and 1 image. Every"),
        ({"image": 7}, "image must be a path or a list of paths, got 7"),
        ({"answer": "C"}, "the answer 'C' is the text of none of the choices '3', '4'"),
        ({"answer": "5"}, "the answer '5' is the text of none of the choices '3', '4'"),
        ({"answer": "3", "choices": ["3", "3"]}, "the answer '3' is the text of several of the choices '3', '3'"),
        (
            {"answer": "3", "choices": ["3", "4", "3.0"]},
            "the answer '3' is the text of several of the choices '3', '4', '3.0'",
        ),
        ({"choices": ["3"]}, r"choices must be a list of 2 to 26 texts, or null, got \['3'\]"),
        ({"choices": "3, 4"}, "choices must be a list of 2 to 26 texts, or null, got '3, 4'"),
        ({"answer": ""}, "answer must be text or a number, got ''"),
        ({"problem": None}, "problem must be text, got None"),
    ],
)
def test_a_bad_row_is_one_sentence_or_left_out(folder, change, message):
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:50])
    rows = ({**ROW, "id": "good"}, {**ROW, **change})
    with pytest.raises(ValueError, match=rf"^task file .*rows.jsonl, row 2, id a: {message}") as caught:
        load(folder, *rows)
    assert "\n" not in str(caught.value)
    skipped = []
    task = load_task("geo3k", {"on_bad_row": "skip"})
    problems = load(folder, *rows, task=task, on_bad_rows=skipped.append)
    assert ([p["id"] for p in problems], skipped) == (["good"], [[str(caught.value)]])


def test_a_set_without_a_usable_row_is_refused_either_way(folder):
    with pytest.raises(ValueError, match=r"has no usable row. The first fault: .*row 1.*nowhere.png does not exist"):
        load(folder, {**ROW, "image": "nowhere.png"}, task=VisualTask("geo3k", on_bad_row="skip"))


def test_a_limit_counts_usable_rows(folder):
    bad = {**ROW, "image": "nowhere.png"}
    rows = [{**row, "id": f"p{i}"} for i, row in enumerate([bad, ROW, bad, ROW, ROW, bad])]
    skipped = []
    task = load_task("geo3k", {"on_bad_row": "skip"})
    problems = load(folder, *rows, task=task, limit=2, on_bad_rows=skipped.append)
    assert [p["id"] for p in problems] == ["p1", "p3"]
    assert len(skipped[0]) == 2  # a row beyond the limit is not read
    assert [p["id"] for p in load(folder, *rows[3:], limit=2)] == ["p3", "p4"]


def test_answers_and_choices_become_letters_and_texts(folder):
    rows = [{**ROW, "id": "text", "answer": "4"}, {**ROW, "id": "number", "answer": 3, "choices": [3, 4.5]}]
    assert [(p["answer"], p["choices"]) for p in load(folder, *rows)] == [("B", ["3", "4"]), ("A", ["3", "4.5"])]


def test_problems_are_the_same_wherever_their_images_lie(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    for image in folder.glob("*.png"):
        (other / image.name).write_bytes(image.read_bytes())
    row = {key: value for key, value in ROW.items() if key != "id"}
    here, there = load(folder, row), load(other, row)
    assert here[0]["image"][0].path != there[0]["image"][0].path
    assert fingerprint_problems(here) == fingerprint_problems(there)
    (other / "a.png").write_bytes((other / "b.png").read_bytes())
    assert fingerprint_problems(load(other, row)) != fingerprint_problems(here)


# --- where problems come from


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_parquet_files_with_images_within(cache):
    """The form of hiyouga/geometry3k, and of any data set that holds its images."""
    Image.new("RGB", (8, 6), (0, 255, 0)).save(cache / "a.png")
    images = np.array([{"bytes": (cache / "a.png").read_bytes(), "path": None}], dtype=object)
    row = {
        "images": images,
        "problem": "<image>Find x.",
        "answer": "4",
        "choices": np.array(["3", "4"], dtype=object),
    }
    pd.DataFrame([row, {**row, "problem": "<image>Find y.", "choices": None}]).to_parquet(cache / "geo3k_train.parquet")
    (cache / "a.png").unlink()
    problems = load_problems(TASK, "train", data_dir=cache)
    assert [(p["answer"], p["choices"]) for p in problems] == [("B", ["3", "4"]), ("4", None)]
    assert all(p["image"][0].path.is_relative_to(cache / "hub") for p in problems)
    assert blocks(TASK.prompt(problems[0]))[0] == (0, 255, 0)


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        (
            "mathvision_test",
            {"question": "<image1>?", "options": ["3", "4"], "answer": "B"},
            ("<image1>?", "B", ["3", "4"]),
        ),
        ("mathvision_test", {"question": "<image1>?", "options": [], "answer": "7"}, ("<image1>?", "7", None)),
        (
            "mathverse_testmini",
            {"question": "Size ()\nChoices:\nA:40°\nB:60°", "answer": "B"},
            ("Size ()", "B", ["40°", "60°"]),
        ),
        ("mathverse_testmini", {"question": "", "answer": "B"}, ("Answer the question in the picture.", "B", None)),
    ],
)
def test_sets_in_the_form_of_the_hub(cache, monkeypatch, name, row, expected):
    """The library reads a folder as it reads a repository of the hub; the columns are those of the real sets."""
    source = HUB_SETS[name]
    image = Image.new("RGB", (8, 6), (0, 255, 0))
    table = {**{key: [value] * 2 for key, value in row.items()}, source.image: [image] * 2}
    features = {
        key: datasets.List(datasets.Value("string")) if key == "options" else datasets.Value("string") for key in row
    }
    features[source.image] = datasets.Image()
    file = cache / "repo" / "data" / f"{source.split}-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    datasets.Dataset.from_dict(table, features=datasets.Features(features)).to_parquet(file)
    if source.config is not None:
        config = f"{{config_name: {source.config}, data_files: [{{split: {source.split}, path: data/*}}]}}"
        (cache / "repo" / "README.md").write_text(f"---\nconfigs: [{config}]\n---\n")
    monkeypatch.setitem(HUB_SETS, name, replace(source, repo=str(cache / "repo")))
    task = load_task(name.split("_")[0])
    (found,) = read_visual_hub_set(name)  # the second is the same again
    monkeypatch.setattr("agrae_lab.tasks.vision.visual_sets._hub_problems", lambda name: (found,))
    (problem,) = load_problems(task, "test")
    assert (problem["problem"], problem["answer"], problem["choices"]) == expected
    assert (0, 255, 0) in blocks(task.prompt(problem))
    monkeypatch.setitem(HUB_SETS, name, replace(HUB_SETS[name], image="nothing"))
    with pytest.raises(ValueError, match=r"has no column nothing\. It has "):
        read_visual_hub_set(name)


def test_choices_at_the_end_of_a_question():
    assert split_choices("Q\nChoice:\nA. 5 cm\nB. 6 cm") == ("Q", ["5 cm", "6 cm"])
    assert split_choices("Q\nChoices:\nA:1\nB:2\nC:\nD:4") == ("Q", ["1", "2", "", "4"])
    assert split_choices("Q\nChoices:\nA\n:1\nB:2\nC:3") == ("Q\nChoices:\nA\n:1\nB:2\nC:3", None)
    for question in ("Q", "Q\nChoices:\nA:1", "Q\nChoices:\nB:1\nC:2", "Q Choices: A:1 B:2"):
        assert split_choices(question) == (question, None)


def test_every_set_is_pinned_or_says_what_it_needs(monkeypatch, tmp_path):
    assert all(len(s.revision) == 40 and set(s.revision) <= set("0123456789abcdef") for s in HUB_SETS.values())
    used = {name for splits in VISUAL_SPLITS.values() for name in splits.values() if name is not None}
    assert used > set(HUB_SETS)
    for name in sorted(used - set(HUB_SETS)):
        with pytest.raises(
            ValueError, match=rf"Give {name}.jsonl with columns problem, answer, image and, for multiple"
        ):
            read_visual_hub_set(name)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"dataset MathLLMs/MathVision at revision .* cannot be loaded .*. Give mathv"):
        load_problems(load_task("mathvision"), "test", data_dir=tmp_path)
    with pytest.raises(
        ValueError, match=r"task 'medical_ct' has no problems to train on. Give a file as task.train_file"
    ):
        load_problems(load_task("medical_ct"), "train")


# --- in a run


def config_of(folder, *overrides):
    file = write(folder, ROW, {**ROW, "id": "b", "image": "nowhere.png"}, {**ROW, "id": "c", "image": "b.png"})
    return compose_config(
        *("task.name=medical_mri", f"task.train_file={file}", "train.num_prompts=2", "train.num_minibatches=1"),
        *("evaluation.benchmarks.countdown_test.task=medical_ct", f"evaluation.benchmarks.countdown_test.file={file}"),
        *(f"root={folder / 'runs'}", *overrides),
    )


def test_a_run_with_a_bad_row_does_not_start(folder):
    with pytest.raises(ConfigError, match=r"rows.jsonl, row 2, id b: image .*nowhere.png does not exist"):
        config_of(folder)


def test_what_was_skipped_stands_in_meta(folder, caplog):
    config = config_of(folder, "task.on_bad_row=skip")
    assert (config["task"]["on_bad_row"], config["task"]["reward"]) == ("skip", "code")
    run = runs.read_run(runs.create_run(config))
    sets = _problem_sets(run)
    assert [p["id"] for p in sets["train"]] == ["a", "c"]
    assert runs.read_run(run.path).meta["skipped_rows"] == {"train": 1, "countdown_test": 1}
    assert "1 rows of 'train' cannot be used: left out; the first: task file" in caplog.text
    assert problem_sets(config) == sets


def test_settings_are_left_out_when_unset_and_refused_where_nobody_uses_them():
    assert task_settings({"name": "geo3k"}, ["mathvision"]) == {"reward": "code"}
    given = {"name": "geo3k", "max_pixels": 100, "on_bad_row": "skip"}
    assert task_settings(given, []) == {"reward": "code", "max_pixels": 100, "on_bad_row": "skip"}
    assert load_task("mathverse", given).max_pixels == 100
    with pytest.raises(ValueError, match=r"task.on_bad_row must be one of refuse, skip, got 'ignore'"):
        load_task("geo3k", {"on_bad_row": "ignore"})
    with pytest.raises(ValueError, match=r"task.max_pixels is for the tasks geo3k, mathvision, .* has none of them"):
        task_settings({"name": "countdown", "max_pixels": 100}, ["math"])
