"""The tasks of mathematics: problems from files and folders and the hub's form, prompts, verdicts."""

import json
import math
from dataclasses import replace

import datasets
import pandas as pd
import pytest
from transformers import AutoTokenizer

from agrae_lab.models.load import NANO
from agrae_lab.tasks import load_problems, load_task, task_names, task_settings
from agrae_lab.tasks.problems import SETS, SPLITS, read_hub_set
from agrae_lab.tasks.prompts import INSTRUCTION, TEMPLATES, drop_overlong, make_prompt, render

MATH = load_task("math")
ROWS = [{"problem": "What is {1, 2}?", "answer": "7", "level": 3}, {"problem": "And 2^3?", "answer": 8}]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(NANO)


def test_any_file_with_problem_and_answer_will_do(tmp_path):
    file = write(tmp_path / "mine.jsonl", ROWS)
    problems = load_problems(MATH, "train", file=file)
    assert [(p["problem"], p["answer"]) for p in problems] == [("What is {1, 2}?", "7"), ("And 2^3?", "8")]
    assert len({p["id"] for p in problems}) == 2
    pd.DataFrame(ROWS).astype({"answer": str}).to_parquet(tmp_path / "mine.parquet")
    assert load_problems(MATH, "test", file=tmp_path / "mine.parquet", limit=1) == problems[:1]


def test_ids_come_from_the_content_and_not_from_the_place(tmp_path):
    first = load_problems(MATH, "train", file=write(tmp_path / "a.jsonl", ROWS))
    other = load_problems(MATH, "train", file=write(tmp_path / "b.jsonl", ROWS[::-1]))
    assert first == other[::-1]


def test_a_folder_of_files_comes_before_the_hub(tmp_path):
    write(tmp_path / "math_train.jsonl", [{"id": "t", **ROWS[0]}])
    pd.DataFrame([{"id": "e", **ROWS[1]}]).to_parquet(tmp_path / "math_test.parquet")
    assert load_problems(MATH, "train", data_dir=tmp_path)[0]["id"] == "t"
    assert load_problems(MATH, "test", data_dir=tmp_path)[0]["id"] == "e"
    given = write(tmp_path / "given.jsonl", ROWS)
    assert len(load_problems(MATH, "train", file=given, data_dir=tmp_path)) == 2


def test_the_authors_target_is_kept_and_nothing_that_nobody_reads(tmp_path):
    row = {"id": "a", "problem": "p", "answer": r"\dfrac12", "solution": "long", "meta": {"upstream_target": "x"}}
    (problem,) = load_problems(MATH, "train", file=write(tmp_path / "a.jsonl", [row]))
    assert problem == {"id": "a", "problem": "p", "answer": r"\dfrac12", "target": "x"}
    assert load_task("math", {"verifier": "official"}).verify(r"\boxed{x}", problem).correct
    assert not MATH.verify(r"\boxed{x}", problem).correct
    row["meta"] = {"upstream_target": 5}
    (problem,) = load_problems(MATH, "train", file=write(tmp_path / "b.jsonl", [row]))
    assert load_task("math", {"verifier": "official"}).verify(r"\boxed{5}", problem).correct  # a number is text too


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"question": "p", "answer": "7"}],
            "row 1: column problem is missing. .* needs problem, answer, the row has qu",
        ),
        ([*ROWS, {"problem": "p", "answer": " "}], "answer must be text or a number, got ' '"),
        ([{"problem": "p", "answer": None}], "answer must be text or a number, got None"),
        ([{"problem": "p", "answer": ["7"]}], "answer must be text or a number"),
        ([{"problem": "", "answer": "7"}], "problem must be text, got ''"),
        ([*ROWS, ROWS[0]], "row 3 repeats row 1. Remove it, or give every row an id"),
        ([{"id": "a", **ROWS[0]}, ROWS[1]], "row 2: column id is missing"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_problems(MATH, "train", file=write(tmp_path / "bad.jsonl", rows))
    assert "\n" not in str(caught.value)


def test_no_file_no_folder_no_hub(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"dataset math-ai/aime25 at revision 563bb84.* cannot be loaded") as caught:
        load_problems(load_task("aime2025"), "test", data_dir=tmp_path)
    assert "aime2025.jsonl with columns problem and answer in the folder hardware.data_dir" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"'amc23' has no problems to train on. Give a file as task\.train_file"):
        load_problems(load_task("amc23"), "train")
    with pytest.raises(ValueError, match=r"hardware\.data_dir '.*nowhere' is not a directory"):
        load_problems(MATH, "test", data_dir=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "row", "answer"),
    [
        ("math_test", {"problem": "p", "solution": r"\boxed{1}, no, \boxed{\frac{1}{2}}."}, r"\frac{1}{2}"),
        ("gsm8k_test", {"question": "p", "answer": "so\n#### 1,234"}, "1234"),
        ("aime2025", {"problem": "p", "answer": "70"}, "70"),
        ("amc23", {"question": "p", "answer": 27.0}, "27.0"),
        ("olympiadbench", {"question": "p", "final_answer": ["$2$", r"$\sqrt{3}$"]}, r"2, \sqrt{3}"),
    ],
)
def test_sets_in_the_form_of_the_hub(tmp_path, monkeypatch, name, row, answer):
    """The library reads a folder as it reads a repository of the hub; the columns are those of the real sets."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "repo").mkdir()
    write(tmp_path / "repo" / f"{SETS[name].split}.jsonl", [row, row])
    local = replace(SETS[name], repo=str(tmp_path / "repo"), config=None)
    (problem,) = read_hub_set(local, name)
    assert problem == {"id": problem["id"], "problem": "p", "answer": answer}
    with pytest.raises(ValueError, match=r"has no column nothing. It has "):
        read_hub_set(replace(local, problem="nothing"), name)


def test_every_set_is_pinned_and_every_task_has_a_test_set():
    assert all(len(s.revision) == 40 and set(s.revision) <= set("0123456789abcdef") for s in SETS.values())
    used = [name for splits in SPLITS.values() for name in splits.values() if name is not None]
    assert sorted(used) == sorted(SETS)
    assert all(splits["test"] for splits in SPLITS.values())
    assert set(SPLITS) < set(task_names())


def test_the_papers_prompt_is_the_papers():
    problem = r"What is \{x\} of {problem}?"
    assert make_prompt("qwen_boxed", problem) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        r"What is \{x\} of {problem}?"
        "\nPlease reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n<|im_start|>assistant\n"
    )
    for template in TEMPLATES:
        prompt = make_prompt(template, problem)
        text = prompt if isinstance(prompt, str) else prompt[0]["content"]
        assert f"{problem}\n{INSTRUCTION}" in text
    assert make_prompt("chat", "p") == [{"role": "user", "content": f"p\n{INSTRUCTION}"}]


def test_settings_are_the_runs_and_are_checked():
    task = load_task("amc23", {"name": "math", "train_file": None, "prompt_template": "plain", "verifier": "official"})
    assert (task.prompt_template, task.verifier) == ("plain", "official")
    with pytest.raises(ValueError, match=r"task.prompt_template must be one of qwen_boxed, llama, .* got 'qwen'"):
        load_task("math", {"prompt_template": "qwen"})
    with pytest.raises(ValueError, match=r"task.verifier must be one of math_verify, official, got 'sympy'"):
        load_task("math", {"verifier": "sympy"})
    assert task_settings({"name": "countdown"}, ["countdown"]) == {}
    defaults = {"prompt_template": "chat", "verifier": "math_verify"}
    assert task_settings({"name": "math"}, ["aime2025"]) == defaults
    assert task_settings({"name": "countdown", "verifier": "official"}, ["amc23"])["verifier"] == "official"
    with pytest.raises(ValueError, match=r"task.verifier is for the tasks math, .* this run has none of them"):
        task_settings({"name": "countdown", "verifier": "official"}, ["countdown"])


def test_verdicts_of_a_batch():
    golds = ["7", "7", "7", "7", "x"]
    problems = [{"id": str(i), "problem": "p", "answer": gold} for i, gold in enumerate(golds)]
    texts = [r"\boxed{7.0}", r"\boxed{8}", "the answer is 7", "7", r"\boxed{\binom{10^9+1}{500000000}}"]
    verdicts = MATH.verify_all(texts, problems)
    assert [v.correct for v in verdicts] == [True, False, True, False, False]
    assert [v.valid for v in verdicts] == [True, True, True, True, False]
    assert [v.reward for v in verdicts[:4]] == [1.0, 0.0, 1.0, 0.0]
    assert math.isnan(verdicts[4].reward)
    assert [v.answer for v in verdicts] == ["7", "8", "7", None, None]
    assert [v.rule for v in verdicts] == ["value", "value", "same text", "no answer", "timeout"]
    assert [tuple(v.components.values()) for v in verdicts[:4]] == [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0)]
    assert MATH.verify(texts[0], problems[0]) == verdicts[0]


def test_a_task_without_a_batch_verifier_judges_one_by_one():
    task = load_task("countdown")
    problems = [{"id": "a", "digits": "123", "target": 7}] * 2
    assert task.verify_all(["1+2*3", "1+2"], problems) == [
        task.verify("1+2*3", problems[0]),
        task.verify("1+2", problems[1]),
    ]


def test_overlong_prompts_are_dropped_and_counted(tokenizer):
    """The nano tokenizer has a token per character that it knows."""
    task = load_task("countdown")
    problems = [{"id": str(n), "digits": "1" * n, "target": 10} for n in (3, 9, 5)]
    lengths = [len(ids) for ids in render(tokenizer, [task.prompt(p) for p in problems])]
    assert lengths[0] < lengths[2] < lengths[1]
    kept, dropped = drop_overlong(problems, task, tokenizer, max_length=lengths[2])
    assert ([p["id"] for p in kept], dropped) == (["3", "5"], 1)
    assert drop_overlong(problems, task, tokenizer, max_length=lengths[1]) == (problems, 0)
    with pytest.raises(ValueError, match=rf"at most 2 tokens, the shortest has {lengths[0]}. Raise train.max_prompt_l"):
        drop_overlong(problems, task, tokenizer, max_length=2)


def test_messages_need_a_chat_template(tokenizer):
    messages = [make_prompt("chat", "1+2")]
    with pytest.raises(
        ValueError, match=r"has no chat template, which task.prompt_template = chat needs. Choose one of qw"
    ):
        render(tokenizer, messages)
    for mistake in ("{{ messages | nosuch }}", "{{ raise_exception('no such role') }}", "{% for"):
        tokenizer.chat_template = mistake
        with pytest.raises(ValueError, match=r"^the chat template of the model at model\.path cannot be used for this"):
            render(tokenizer, messages)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'][:3] }}{% endfor %}="
    try:
        assert render(tokenizer, messages) == render(tokenizer, ["1+2="])
    finally:
        tokenizer.chat_template = None


def test_a_template_that_opens_a_thought_wants_it_closed():
    problem = {"id": "a", "problem": "p", "answer": "7"}
    deepseek, chat = (load_task("math", {"name": "math", "prompt_template": name}) for name in ("deepseek", "chat"))
    thought, closed = r"so \boxed{7}", r"so </think> \boxed{7}"
    assert [task.verify(text, problem).correct for task in (deepseek, chat) for text in (thought, closed)] == [
        *(False, True),
        *(True, True),
    ]
    assert deepseek.verify(thought, problem).rule == "unfinished thought"


def test_the_question_is_no_answer_but_under_the_official_reward():
    problem = {"id": "a", "problem": r"What is $\frac{6}{12}$ in lowest terms?", "answer": r"\frac{1}{2}"}
    copy = MATH.verify(r"\boxed{\frac{6}{12}}", problem)
    assert (copy.correct, copy.rule) == (False, "copied")
    official = load_task("math", {"name": "math", "verifier": "official"})
    assert official.verify(r"\boxed{\frac{1}{2}} \boxed{", problem).correct  # as ever: an open box is passed over
    assert official.verify(r"\boxed{\frac{1}{2}}", problem).rule == "official"
