"""What raters answered: the files that the rating page saves, or lists for sheets, checked and joined with the key."""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from srgan.common.errors import UserError, describe, warn
from srgan.common.output import printable

COLUMNS = ("study", "session", "rater", "trial", "trials", "shown", "answer", "seconds", "time")
LONGEST = 200  # characters of a cell; what the page writes has fewer


def read_key(path: Path) -> dict[str, Any]:
    """What the page's pictures are: {study, mode: "rating" or "preference", items: {id: [method, benchmark, image]}}.

    For preferences it has the pairs, too: {trials: [[id, id], ...]}.

    Raises:
        UserError: it is missing or no key.
    """
    try:
        key = json.loads(path.read_text(encoding="utf-8"))
        if key["mode"] in ("rating", "preference") and key["study"] and key["items"]:
            return key
    except (KeyError, TypeError, ValueError, RecursionError):
        pass
    except OSError as error:
        raise UserError(f"{path}: can't be read: {describe(error)}; `make` wrote the key beside the page") from error
    raise UserError(f"{path}: expected the key.json that `make` wrote beside the page, found something else")


def read_answers(files: Sequence[Path], key: dict[str, Any]) -> pd.DataFrame:
    """All answers of all raters: what can be read counts, and warnings name what can't.

    An answer that is in several files counts once, in its latest version. Two sessions under one name are two
    raters. A file for sheets has a line `NN,left`, `NN,right` or `NN,same` for each, and the rater's name.

    Returns:
        A row for each answer, by rater and trial: rater, trial, trials, seconds; picture and value, which are the same
        in both modes (value: the mark, or 1 and 0 for the two choices, 0.5 for neither); repeat (this rater has
        rated this picture before); benchmark, image; and method, rating or winner, loser (None for neither),
        side ("A", "B" or "same").

    Raises:
        UserError: no file holds an answer.
    """
    answers = []
    for path in files:
        try:
            rows = _rows(path, key)
        except (OSError, ValueError, RecursionError, csv.Error) as error:
            warn(f"{path}: left out: {describe(error)}")
            continue
        problems = defaultdict(list)
        for line, row in rows:
            if problem := _problem(row, key):
                problems[problem].append(str(line))
            else:
                answers.append(_about(row, key))
        for problem, lines in problems.items():
            warn(f"{path}: left out: line {', '.join(lines[:5])}{' ...' * (len(lines) > 5)}: {problem}")
        if not rows:
            warn(f"{path}: no answers in it")
    if not answers:
        raise UserError(f"no answers in {len(files)} files: expected what the rating page saves, or lines NN,left")
    return _joined(pd.DataFrame(answers))


def _rows(path: Path, key: dict[str, Any]) -> list[tuple[int, dict[str, str]]]:
    """(line or, in JSON, number of the answer, answer).

    Raises:
        OSError, ValueError, csv.Error: it can't be read, or isn't what the page saves.
    """
    if path.exists() and not path.is_file():
        raise ValueError("expected a file, found a folder or a device")
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() == ".json":
        rows = json.loads(text)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError("expected a list of answers")
        return [(number, _as_text(row)) for number, row in enumerate(rows, start=1)]
    if "trials" in key and re.match(r"\s*\d+\s*,\s*\w+\s*$", text, re.MULTILINE):
        lines = csv.reader(io.StringIO(text, newline=""))
        return [(lines.line_num, _about_sheet(line, path, key)) for line in lines if line]
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
        raise ValueError(f"expected the columns of the rating page's CSV, missing: {', '.join(missing)}")
    return [(reader.line_num, _as_text(row)) for row in reader]


def _about_sheet(line: Sequence[str], path: Path, key: dict[str, Any]) -> dict[str, str]:
    """The answer for a sheet, as the page would have saved it."""
    number, side = (cell.strip() for cell in (*line, "", "")[:2])
    trials = key["trials"]
    known = number.isdecimal() and int(number) < len(trials)
    answer: dict[str, Any] = {"study": key["study"], "session": str(path), "rater": path.stem, "trials": len(trials)}
    answer |= {"trial": number, "shown": " ".join(trials[int(number)]) if known else f"sheet {number}"}
    return _as_text(answer | {"answer": {"left": "A", "right": "B"}.get(side, side), "seconds": 0, "time": 0})


def _as_text(row: dict[str, Any]) -> dict[str, str]:
    """The columns of an answer, each as one line; empty if missing, or if neither text nor a number."""
    values = {name: row.get(name) for name in COLUMNS}
    return {name: printable(str(v))[:LONGEST] if isinstance(v, str | int | float) else "" for name, v in values.items()}


def _problem(row: dict[str, str], key: dict[str, Any]) -> str | None:
    """What is wrong with an answer."""
    if not all(row.values()):
        return "cut off or incomplete"
    if row["study"] != key["study"]:
        return f"from another test, {row['study']}; the key is for {key['study']}"
    pair = key["mode"] == "preference"
    shown = row["shown"].split()
    if len(shown) != 1 + pair or not all(item in key["items"] for item in shown):
        return f"shown: expected {1 + pair} of the test's pictures, found {row['shown']}"
    if row["answer"] not in (("A", "B", "same") if pair else ("1", "2", "3", "4", "5")):
        return f"answer: expected {'A or left, B or right, same' if pair else '1 to 5'}, found {row['answer']}"
    if not re.fullmatch(r"\d{1,9} \d{1,9} \d{1,9}(\.\d+)?", "{trial} {trials} {seconds}".format(**row)):
        return "trial, trials and seconds: expected numbers"
    return None


def _about(row: dict[str, str], key: dict[str, Any]) -> dict[str, Any]:
    """A valid answer, with what the pictures are in place of their ids."""
    shown, answer = row["shown"].split(), row["answer"]
    (method, benchmark, image), *_ = (key["items"][item] for item in shown)
    known: dict[str, Any] = {name: row[name] for name in ("session", "rater", "time")}
    known |= {"trial": int(row["trial"]), "trials": int(row["trials"]), "seconds": float(row["seconds"]) or None}
    known |= {"picture": " ".join(sorted(shown)), "benchmark": benchmark, "image": image}
    if key["mode"] == "rating":
        return known | {"value": int(answer), "method": method, "rating": int(answer)}
    if answer == "same":
        return known | {"value": 0.5, "winner": None, "loser": None, "side": answer}
    winner, loser = shown if answer == "A" else shown[::-1]
    sides = {"winner": key["items"][winner][0], "loser": key["items"][loser][0], "side": answer}
    return known | {"value": int(winner < loser)} | sides


def _joined(answers: pd.DataFrame) -> pd.DataFrame:
    """Drop duplicate answers, distinguish sessions under one name, find repeats, and warn about what is unusual."""
    answers = answers.sort_values("time", kind="stable")
    given = ["session", "trial"]
    for rater, count in answers[answers.duplicated(given)]["rater"].value_counts().items():
        warn(f"{rater}: {count} answers are in more than one file; each counts once, in its latest version")
    answers = answers.drop_duplicates(given, keep="last")

    names = answers.drop_duplicates("session").set_index("session")["rater"]
    number = names.groupby(names).cumcount()
    for name in names[number > 0].unique():
        warn(f"{name}: {(names == name).sum()} sessions under this name; they count as different raters")
    names = names.where(number == 0, names + " (" + (number + 1).astype(str) + ")")
    answers = answers.assign(rater=answers["session"].map(names)).drop(columns=["session", "time"])
    answers = answers.sort_values(["rater", "trial"]).reset_index(drop=True)

    for rater, rows in answers.groupby("rater", sort=False):
        if len(rows) < (trials := rows["trials"].max()):
            warn(f"{rater}: {len(rows)} of {trials} answered; they count")
    return answers.assign(repeat=answers.duplicated(["rater", "picture"]))
