"""The command line of `srgan rating`: `make` the page of an opinion test, `score` the answers."""

import argparse
import base64
import hashlib
import io
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from srgan.application import opinion_scores
from srgan.application.answers import read_answers, read_key
from srgan.common.errors import UserError, command, warn
from srgan.common.files import whole_file
from srgan.common.images import read_rgb
from srgan.common.output import printable
from srgan.data.pairs import ImagePair, find_pairs
from srgan.evaluation.evaluate import load_benchmarks, nearest
from srgan.evaluation.report import write_csv

PAGE = Path(__file__).with_name("rating.html")
# Raters are calibrated on images that aren't rated; the paper's are 20 of the BSD300 training set.
CALIBRATION = [Path(f"skimage:{name}.png") for name in ("coffee", "chelsea", "astronaut")]
LARGE_PAGE = 200e6


@command
def rating() -> None:
    """The opinion test of the SRGAN paper (section 3.3): a page for raters, and the statistics of what they answer.

    `make` takes the images that test.py left in results/; docs/RATING.md says how to run a test.
    """
    args = _arguments()
    make(args) if args.command == "make" else score(args)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=rating.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    make = commands.add_parser("make", help="write the page that raters open, and the key that stays with you")
    make.add_argument("--results", type=Path, default="results", help="test.py's --out (default: results)")
    make.add_argument("--data", nargs="+", type=Path, required=True, help="the --data of that run: the HR images")
    make.add_argument("--methods", nargs="+", help="folders of results/images, nearest, HR (default: all)")
    make.add_argument("--preference", action="store_true", help="pairs, A or B, in place of marks; default: no HR")
    make.add_argument("--images", type=int, help="of each benchmark, evenly spaced (default: all)")
    make.add_argument("--repeats", type=int, help="pictures shown twice to each rater (default: a tenth)")
    make.add_argument("--calibration", nargs="+", type=Path, default=CALIBRATION, help="folders of images, up to 20")
    make.add_argument("--scale", type=int, default=4)
    make.add_argument("--out", type=Path, default="rating", help="folder of page and key (default: rating)")

    score = commands.add_parser("score", help="MOS or preferences, tests, agreement, from the raters' files")
    score.add_argument("files", nargs="+", type=Path, metavar="FILE", help="CSV or JSON files that raters saved")
    score.add_argument("--key", type=Path, default="rating/key.json", help="default: rating/key.json")
    score.add_argument("--out", type=Path, help="folder of the results (default: scores, beside the key)")
    args = parser.parse_args()
    if args.command == "make" and min(args.images or 1, (args.repeats or 0) + 1, args.scale - 1) < 1:
        raise UserError("--images takes 1 or more, --repeats 0 or more, --scale 2 or more")
    return args


def make(args: argparse.Namespace) -> None:
    """Write `rating.html` and `key.json` into the folder `args.out`."""
    methods = chosen_methods(args)
    versions = {}
    for benchmark, pairs in load_benchmarks(args.data, args.scale).items():
        every = np.linspace(0, len(pairs) - 1, min(args.images or len(pairs), len(pairs))).round().astype(int)
        for pair in tqdm([pairs[i] for i in every], desc=benchmark, unit="image", disable=None):
            for method, version in encoded_versions(pair, methods, benchmark, args).items():
                versions[method, benchmark, pair.name] = version
    calibration = []
    if not args.preference:
        pairs = [pair for folder in args.calibration for pair in find_pairs(folder, args.scale)][:20]
        calibration = [list(encoded_versions(pair, ["nearest", "HR"], "", args).values()) for pair in pairs]
    study, key = build_study(versions, methods, args.preference, args.repeats, calibration)
    write_study(args.out, study, key)
    page = args.out / "rating.html"
    shown = f"{len(study['trials']) + study['repeats']} {'pairs' if args.preference else 'pictures'}"
    print(f"{page}: {shown} for each rater, {page.stat().st_size / 1e6:.1f} MB")
    print(f"{args.out / 'key.json'}: says which picture is whose; keep it from the raters, `score` needs it")


def chosen_methods(args: argparse.Namespace) -> list[str]:
    """Those asked for, or all that there are.

    Raises:
        UserError: there are no results of a method.
    """
    folders = sorted(path.name for path in (args.results / "images").glob("*") if path.is_dir())
    methods = list(dict.fromkeys(args.methods or (folders if args.preference else ["nearest", *folders, "HR"])))
    unknown = [name for name in methods if name not in ("nearest", "HR", *folders)]
    if unknown or not folders:
        raise UserError(
            f"{args.results / 'images'}: expected results of {', '.join(unknown) or 'test.py'}, "
            f"found {', '.join(folders) or 'none'}; test.py --out {args.results} makes them"
        )
    if len(methods) < 2:
        raise UserError(f"expected two or more methods to compare, found {', '.join(methods)}")
    return methods


def build_study(
    versions: dict[tuple[str, str, str], str],
    methods: Sequence[str],
    preference: bool,
    repeats: int | None,
    calibration: list[list[str]],
) -> tuple[dict, dict]:
    """What the page holds (see rating.html), and the key that says which picture is whose.

    Args:
        versions: lossless WebP in base64 by (method, benchmark, image).
    """
    content = [preference, repeats, sorted(versions.items()), calibration]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    # Neither the names of the pictures nor their order says anything of the methods.
    names = {version: hashlib.sha256(f"{digest}{version}".encode()).hexdigest()[:12] for version in versions}
    trials = [[name] for name in names.values()]
    if preference:
        images = dict.fromkeys((benchmark, image) for _, benchmark, image in versions)
        couples = list(combinations(methods, 2))
        trials = [sorted(names[m, b, image] for m in couple) for b, image in images for couple in couples]
    if repeats is None:
        repeats = len(trials) // 10
    if repeats > len(trials) // 3:
        raise UserError(f"--repeats: expected at most a third of the {len(trials)} pictures, found {repeats}")
    study = {
        "id": digest[:8],
        "mode": "preference" if preference else "rating",
        "repeats": repeats,
        "trials": sorted(trials),
        "items": {names[version]: versions[version] for version in sorted(versions, key=lambda v: names[v])},
        "calibration": calibration,
    }
    return study, {"study": study["id"], "mode": study["mode"], "items": {names[v]: list(v) for v in versions}}


def encoded_versions(
    pair: ImagePair, methods: Sequence[str], benchmark: str, args: argparse.Namespace
) -> dict[str, str]:
    """An image as each method made it, in lossless WebP and base64: no metadata gives the method away.

    HR and nearest come from the pair, the rest from test.py's files.
    """
    lr, hr = pair.read(args.scale)
    images = []
    for method in methods:
        if method in ("HR", "nearest"):
            images.append(hr if method == "HR" else nearest(args.scale)(lr))
            continue
        path = args.results / "images" / method / benchmark / f"{pair.name}.png"
        if not path.is_file():
            raise UserError(f"{path}: missing; test.py makes it, given the same --data")
        images.append(read_rgb(path))
        if images[-1].shape[:2] != hr.shape[:2]:
            expected, found = (f"{array.shape[1]} x {array.shape[0]}" for array in (hr, images[-1]))
            raise UserError(f"{path}: expected {expected} pixels, the size of {pair.hr}, found {found}")
    with ThreadPoolExecutor() as pool:
        return dict(zip(methods, pool.map(encoded, images), strict=True))


def encoded(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image).convert("RGB").save(file, "WEBP", lossless=True)
    return base64.b64encode(file.getvalue()).decode()


def write_study(out: Path, study: dict, key: dict) -> None:
    """Write page and key, unless the folder has the key of another study, without which its answers are lost."""
    if (out / "key.json").exists() and read_key(out / "key.json")["study"] != key["study"]:
        raise UserError(f"{out / 'key.json'}: belongs to another test, whose answers need it; choose another --out")
    with whole_file(out / "key.json") as part:
        part.write_text(json.dumps(key, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8").replace("/*STUDY*/", json.dumps(study))
    if len(page) > LARGE_PAGE:
        warn(f"a page of {len(page) / 1e6:.0f} MB is more than telephones open; --images shows fewer of each benchmark")
    with whole_file(out / "rating.html") as part:
        part.write_text(page, encoding="utf-8")


def score(args: argparse.Namespace) -> None:
    """Write the tables, the chart and `summary.md`, and print the latter."""
    out = args.out or args.key.parent / "scores"
    key = read_key(args.key)
    answers = read_answers(args.files, key)
    methods, benchmarks, _ = (list(dict.fromkeys(column)) for column in zip(*key["items"].values(), strict=True))
    order = {"benchmark": benchmarks, "method": methods}
    first = answers[~answers["repeat"]].sort_values(
        [name for name in order if name in answers], key=lambda column: column.map(order[column.name].index)
    )
    if key["mode"] == "rating":
        scores, tests = opinion_scores.mean_opinion_scores(first), opinion_scores.compare_methods(first)
        sections = [
            "# Mean opinion scores", mos_table(scores), "1 bad, 5 excellent; in brackets the 95 % interval "
            "(bootstrap over raters and images). In italics the paper's tables 1 and 2, of 26 other raters.",
            "# Differences between methods", markdown(tests), "Wilcoxon's signed-rank test of the images' mean marks; "
            "p_holm is corrected for the pairs of methods. A difference below 0.05 is significant.",
        ]  # fmt: skip
        opinion_scores.draw_distribution(first, out / "distribution.png")
    else:
        scores = opinion_scores.preference_scores(first, methods)
        tests = opinion_scores.compare_preferences(first, methods)
        sections = [
            "# Preferences", markdown(scores), "Bradley-Terry: a score higher by 1 is preferred 2.7 times as often as "
            "not; low and high are the 95 % interval (bootstrap over raters and images).",
            "# Differences between methods", markdown(tests), "Binomial test; p_holm is corrected for the pairs of "
            "methods. A difference below 0.05 is significant.",
        ]  # fmt: skip
    raters = opinion_scores.rater_table(answers)
    sections += ["# Raters", markdown(raters), "agreement: Spearman's correlation with the mean of the others; same, "
                 "apart: a repeated picture's second answer beside its first. Krippendorff's alpha of all raters: "
                 f"{cell(opinion_scores.krippendorff_alpha(first))}."]  # fmt: skip
    for name, table in (("answers", answers), ("scores", scores), ("tests", tests), ("raters", raters)):
        write_csv(out / f"{name}.csv", table, "%.6g")
    with whole_file(out / "summary.md") as part:
        part.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    print("\n\n".join(sections))
    print(f"\nresults: {out}")


def mos_table(scores: pd.DataFrame) -> str:
    """A row for each method, a column for each benchmark, and the paper's rows where they share one."""
    scores = scores.assign(
        text=[f"{row.mos:.2f} [{cell(row.low)}, {cell(row.high)}]" for row in scores.itertuples()],
        column=scores["benchmark"] + " (" + scores["images"].astype(str) + ")",
    )
    table = scores.pivot(index="method", columns="benchmark", values="text")
    table = table.loc[scores["method"].unique(), scores["benchmark"].unique()]
    if len(opinion_scores.PAPER.columns.intersection(table.columns)):
        paper = opinion_scores.PAPER.reindex(columns=table.columns).map(lambda mos: "–" if mos != mos else f"{mos:.2f}")
        table = pd.concat([table, paper.rename(index="*paper: {}*".format)])
    return markdown(table.rename_axis(index="method").reset_index())


def markdown(table: pd.DataFrame) -> str:
    lines = [list(table.columns), *([cell(value) for value in row] for row in table.itertuples(index=False))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(f"{c:{w}}" for c, w in zip(row, widths, strict=True)) + " |" for row in lines)


def cell(value: object) -> str:
    if not isinstance(value, float):
        return re.sub(r"([|<])", r"\\\1", printable(str(value)))
    return "–" if value != value else f"{value:.2g}" if 1e-9 < abs(value) < 0.1 else f"{value:.2f}"
