"""Rating files: damaged, partial and doubled ones are named, and nothing that can be read is lost."""

import json
import os
import sys
from pathlib import Path

import pandas as pd
import pytest

from srgan.application.answers import read_answers, read_key
from srgan.common.errors import UserError

KEY = {"study": "s1", "mode": "rating", "items": {f"i{n}": ["net", "Set5", f"face{n}"] for n in range(1, 7)}}
PAIRS = KEY | {"mode": "preference", "items": {"i1": ["net", "Set5", "face"], "i2": ["other", "Set5", "face"]}}


def rows(rater: str = "Anna", session: str = "x", answers: str = "123", start: int = 1) -> pd.DataFrame:
    trials = range(start, start + len(answers))
    return pd.DataFrame(
        {
            "study": "s1",
            "session": session,
            "rater": rater,
            "trial": trials,
            "trials": 3,
            "shown": [f"i{trial}" for trial in trials],
            "answer": list(answers),
            "seconds": 1.5,
            "time": [f"2026-01-01T00:00:{trial:02}.000Z" for trial in trials],
        }
    )


def read(folder: Path, *tables: pd.DataFrame, key: dict = KEY) -> pd.DataFrame:
    for i, table in enumerate(tables):
        table.to_csv(folder / f"{i}.csv", index=False)
    return read_answers([folder / f"{i}.csv" for i in range(len(tables))], key)


def test_answers_are_joined_with_the_key(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    answers = read(tmp_path, rows("Ben", "y"), rows())
    assert list(answers["rater"]) == ["Anna"] * 3 + ["Ben"] * 3
    assert list(answers["rating"]) == [1, 2, 3] * 2
    assert answers.loc[1, ["method", "benchmark", "image"]].to_list() == ["net", "Set5", "face2"]
    assert capsys.readouterr().err == ""


def test_a_later_showing_is_a_repeat(tmp_path: Path) -> None:
    answers = read(tmp_path, rows().assign(shown=["i1", "i2", "i1"]))
    assert list(answers["repeat"]) == [False, False, True]


def test_a_preference_has_a_winner_and_a_loser(tmp_path: Path) -> None:
    table = rows(answers="AB").assign(shown=["i1 i2", "i1 i2"], trials=2)
    answers = read(tmp_path, table, key=PAIRS)
    assert answers[["winner", "loser", "side"]].to_numpy().tolist() == [["net", "other", "A"], ["other", "net", "B"]]
    assert list(answers["value"]) == [1, 0]
    assert list(answers["repeat"]) == [False, True]


def test_csv_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(rows().to_json(orient="records"), encoding="utf-8")
    pd.testing.assert_frame_equal(read_answers([tmp_path / "a.json"], KEY), read(tmp_path, rows()))


def test_doubled_answers_count_once_as_given_last(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    later = rows(answers="524").assign(time="2026-01-01T00:01:00.000Z")
    assert list(read(tmp_path, later, rows())["rating"]) == [5, 2, 4]
    assert "Anna: 3 answers are in more than one file; each counts once" in capsys.readouterr().err


def test_two_raters_of_one_name_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    answers = read(tmp_path, rows(), rows(session="y", answers="555"))
    assert answers.groupby("rater")["rating"].mean().to_dict() == {"Anna": 2, "Anna (2)": 5}
    assert "Anna: 2 sessions under this name; they count as different raters" in capsys.readouterr().err


def test_a_partial_file_counts_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert list(read(tmp_path, rows(answers="12"))["rating"]) == [1, 2]
    assert "Anna: 2 of 3 answered; they count" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("answer", "6", "answer: expected 1 to 5, found 6"),
        ("shown", "i9", "shown: expected 1 of the test's pictures, found i9"),
        ("study", "s2", "from another test, s2; the key is for s1"),
        ("seconds", "soon", "trial, trials and seconds: expected numbers"),
        ("trial", None, "cut off or incomplete"),
    ],
)
def test_a_damaged_line_is_named_and_the_others_count(
    tmp_path: Path, capsys: pytest.CaptureFixture, column: str, value: str | None, message: str
) -> None:
    table = rows().astype(object)
    table.loc[1, column] = value
    assert list(read(tmp_path, table)["rating"]) == [1, 3]
    assert f"0.csv: left out: line 3: {message}" in capsys.readouterr().err


def test_a_file_cut_off_anywhere_loses_only_its_last_line(tmp_path: Path) -> None:
    text = rows().to_csv(index=False)
    lines = text.splitlines(keepends=True)
    for length in range(len(lines[0]) + len(lines[1]), len(text), 5):
        (tmp_path / "cut.csv").write_text(text[:length], encoding="utf-8")
        assert len(read_answers([tmp_path / "cut.csv"], KEY)) >= 1 + (length >= len("".join(lines[:3])))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.csv", b"a,b\n1,2\n", "expected the columns of the rating page's CSV, missing: study, "),
        ("bad.csv", b"", "expected the columns of the rating page's CSV"),
        ("bad.csv", b"\xff\xfe\x00\x80", "left out: "),
        ("bad.json", b'[{"study": "s1", ', "left out: "),
        ("bad.json", b'{"study": "s1"}', "expected a list of answers"),
        ("bad.csv", None, "No such file"),
    ],
)
def test_a_damaged_file_is_named_and_the_others_count(
    tmp_path: Path, capsys: pytest.CaptureFixture, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    rows().to_csv(tmp_path / "good.csv", index=False)
    assert len(read_answers([tmp_path / name, tmp_path / "good.csv"], KEY)) == 3
    assert (printed := capsys.readouterr().err).startswith(f"warning: {tmp_path / name}: ")
    assert message in printed
    with pytest.raises(UserError, match="no answers in 1 files"):
        read_answers([tmp_path / name], KEY)


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps(KEY | {"mode": "?"})])
def test_what_is_no_key_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "key.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"key\.json: expected the key\.json that `make` wrote"):
        read_key(tmp_path / "key.json")
    with pytest.raises(UserError, match="can't be read"):
        read_key(tmp_path / "none.json")


HOSTILE_FILES = {
    "deep.json": "[" * 100_000,
    "deeper.json": '[{"study": ' + "[" * 900 + "]" * 900 + "}]",
    "digits.json": '[{"trial": ' + "9" * 5000 + "}]",
    "surrogate.json": json.dumps(rows(rater="\ud800").to_dict("records")),
    "nested.json": json.dumps([rows().to_dict("records")[0] | {"shown": ["i1"], "rater": {"a": 1}}]),
    "numbers.json": json.dumps([rows().to_dict("records")[0] | {"shown": 5, "session": 1.5, "time": True}]),
    "nan.json": '[{"seconds": NaN, "trial": Infinity}]',
    "digits.csv": rows().assign(trial="9" * 5000).to_csv(index=False),
    "huge.csv": rows().assign(seconds="9" * 400).to_csv(index=False),
    "null.csv": rows(rater="a\0b").to_csv(index=False),
    "field.csv": rows(rater="x" * 200_000).to_csv(index=False),
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_no_file_of_a_rater_ends_it_for_the_others(tmp_path: Path, capsys: pytest.CaptureFixture, name: str) -> None:
    (tmp_path / name).write_text(HOSTILE_FILES[name], encoding="utf-8")
    rows("Ben", "good", answers="222").to_csv(tmp_path / "good.csv", index=False)
    answers = read_answers([tmp_path / name, tmp_path / "good.csv"], KEY)
    assert list(answers[answers["rater"] == "Ben"]["rating"]) == [2, 2, 2]
    answers.to_csv(tmp_path / "answers.csv", index=False)
    assert answers["rater"].map(len).max() <= 210
    assert all(len(line) < 1000 for line in capsys.readouterr().err.splitlines())


def test_names_of_raters_are_printable(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    answers = read(tmp_path, rows(rater="\x1b]0;mine\x07\u202e", answers="12"))
    assert set(answers["rater"]) == {"\\x1b]0;mine\\x07\\u202e"}
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes of this kind")
def test_a_pipe_is_no_file_of_answers(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    rows().to_csv(tmp_path / "good.csv", index=False)
    assert len(read_answers([tmp_path / "pipe.csv", tmp_path / "good.csv"], KEY)) == 3
    assert "pipe.csv: left out: expected a file, found a folder or a device" in capsys.readouterr().err


def test_a_deeply_nested_key_is_none(tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(UserError, match="expected the key"):
        read_key(tmp_path / "key.json")
