"""Problem files: what is wrong with them is said, with the row."""

import pandas as pd
import pytest

from agrae_lab.tasks import load_task, read_problems

GOOD = '{"id": "a", "digits": "123", "target": 6}\n'


def write(tmp_path, text, name="problems.jsonl"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            GOOD + '{"id": "b", "digits": "123"}\n',
            r"row 2: column target is missing. The task needs id, digits, target",
        ),
        ("", "holds no problems"),
        (GOOD + "{oops\n", "line 2: not JSON"),
        (GOOD + GOOD, "'a' occurs more than once"),
        (GOOD + "[1]\n", "line 2: not a JSON object"),
    ],
)
def test_bad_files(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_problems(write(tmp_path, text), ("digits", "target"))


def test_missing_file_and_other_format(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_problems(tmp_path / "nowhere.jsonl", ())
    with pytest.raises(ValueError, match=r"must be \.jsonl or \.parquet"):
        read_problems(write(tmp_path, "id\n1\n", "problems.csv"), ())


def test_limit_and_parquet(tmp_path):
    rows = [{"id": str(i), "digits": "123", "target": i} for i in range(5)]
    pd.DataFrame(rows).to_parquet(tmp_path / "problems.parquet")
    assert read_problems(tmp_path / "problems.parquet", ("digits", "target"), limit=2) == rows[:2]


def test_a_line_separator_within_a_string_ends_no_line(tmp_path):
    path = write(tmp_path, '{"id": "a", "text": "one\u2028two"}\n\n{"id": "b", "text": "\x85"}\n')
    assert [p["text"] for p in read_problems(path, ("text",))] == ["one\u2028two", "\x85"]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "problems.jsonl").write_text('{"id": "a"}\n', encoding="utf-8-sig")
    assert read_problems(tmp_path / "problems.jsonl", ()) == [{"id": "a"}]


def test_text_that_is_not_utf8(tmp_path):
    (tmp_path / "problems.jsonl").write_bytes(b'{"id": "\xff"}\n')
    with pytest.raises(ValueError, match=r"problems.jsonl is not UTF-8 text \(byte 8\)"):
        read_problems(tmp_path / "problems.jsonl", ())


def test_a_file_is_read_once_and_again_when_it_has_changed(tmp_path, monkeypatch):
    path = write(tmp_path, GOOD)
    first = read_problems(path, ("digits",))
    first[0]["digits"] = "changed by its reader"
    with monkeypatch.context() as patched:
        patched.setattr("json.loads", None)  # nothing is parsed
        assert read_problems(path, ("digits",)) == [{"id": "a", "digits": "123", "target": 6}]
    path.write_text(GOOD + GOOD.replace("a", "b", 1))
    assert len(read_problems(path, ("digits",))) == 2


def test_unknown_task_lists_the_choices():
    with pytest.raises(ValueError, match=r"unknown task 'chess'; choose from countdown"):
        load_task("chess")
