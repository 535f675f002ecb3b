"""The command line of `srgan rating`: `make` the page of an opinion test, `score` the answers."""

import argparse
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from srgan.application import opinion_scores
from srgan.application.answers import read_answers, read_key
from srgan.application.parts import HEIGHT, WIDTH, find_parts, load_contender, upscale_part
from srgan.application.study import build_study, encoded, write_sheets, write_study
from srgan.common.errors import UserError, command
from srgan.common.files import whole_file
from srgan.common.images import list_images, read_rgb
from srgan.common.output import printable
from srgan.data.pairs import ImagePair, find_pairs
from srgan.evaluation.evaluate import load_benchmarks, nearest
from srgan.evaluation.report import write_csv

# Raters are calibrated on images that aren't rated; the paper used 20 of the BSD300 training set.
CALIBRATION = [Path(f"skimage:{name}.png") for name in ("coffee", "chelsea", "astronaut")]

Item = TypeVar("Item")
Versions = dict[tuple[str, str, str], str]  # pictures as `encoded` makes them, by method, benchmark and image


@command
def rating() -> None:
    """Ask viewers: the opinion test of the SRGAN paper (section 3.3), or which of two pictures they would keep.

    `make` takes the images that test.py left in results/, or upscales photographs; docs/RATING.md has the steps.
    """
    args = _arguments()
    make(args) if args.command == "make" else score(args)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=rating.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    make = commands.add_parser("make", help="write the page that raters open, and the key that stays with you")
    make.add_argument("--results", type=Path, default="results", help="test.py's --out (default: results)")
    pictures = make.add_mutually_exclusive_group(required=True)
    pictures.add_argument("--data", nargs="+", type=Path, help="the --data of that run: the HR images")
    pictures.add_argument(
        "--photographs", type=Path, help="folder of photographs without originals: pairs of two parts of each"
    )
    make.add_argument(
        "--methods",
        nargs="+",
        help="folders of results/images, nearest, HR (default: all); of photographs bicubic and weights",
    )
    make.add_argument("--preference", action="store_true", help="pairs, A or B, in place of marks; default: no HR")
    make.add_argument("--sheets", action="store_true", help="also write each pair as a picture")
    make.add_argument("--images", type=int, help="number per folder, evenly spaced (default: all)")
    make.add_argument("--repeats", type=int, help="pictures shown twice to each rater (default: a tenth)")
    make.add_argument("--calibration", nargs="+", type=Path, default=CALIBRATION, help="folders of images, up to 20")
    make.add_argument("--scale", type=int, default=4)
    make.add_argument("--out", type=Path, default="rating", help="folder of page and key (default: rating)")

    score = commands.add_parser("score", help="MOS or preferences, tests, agreement, from the raters' files")
    score.add_argument("files", nargs="+", type=Path, metavar="FILE", help="CSV or JSON files that raters saved")
    score.add_argument("--key", type=Path, default="rating/key.json", help="default: rating/key.json")
    score.add_argument("--out", type=Path, help="folder of the results (default: scores, beside the key)")
    args = parser.parse_args()
    if args.command == "make":
        args.preference |= bool(args.photographs)
        if args.sheets and not args.preference:
            raise UserError("--sheets shows pairs: add --preference")
    if args.command == "make" and min(args.images or 1, (args.repeats or 0) + 1, args.scale - 1) < 1:
        raise UserError("expected --images of 1 or more, --repeats of 0 or more, --scale of 2 or more")
    return args


def make(args: argparse.Namespace) -> None:
    """Write `rating.html` and `key.json`, and with --sheets `sheets/`, into the folder `args.out`."""
    if args.photographs:
        methods, versions = photograph_versions(args)
    else:
        methods = chosen_methods(args)
        versions = benchmark_versions(methods, args)
    calibration = []
    if not args.preference:
        pairs = [pair for folder in args.calibration for pair in find_pairs(folder, args.scale)][:20]
        calibration = [list(encoded_versions(pair, ["nearest", "HR"], "", args).values()) for pair in pairs]
    study, key = build_study(versions, methods, args.preference, args.repeats, calibration)
    write_study(args.out, study, key)
    if args.sheets:
        write_sheets(args.out, study)
    page = args.out / "rating.html"
    shown = f"{len(study['trials']) + study['repeats']} {'pairs' if args.preference else 'pictures'}"
    print(f"{page}: {shown} for each rater, {page.stat().st_size / 1e6:.1f} MB")
    print(f"{args.out / 'key.json'}: says which picture is whose; keep it from the raters, `score` needs it")


def benchmark_versions(methods: Sequence[str], args: argparse.Namespace) -> Versions:
    """The images of the benchmarks, by each method."""
    versions = {}
    for benchmark, pairs in load_benchmarks(args.data, args.scale).items():
        for pair in tqdm(evenly_spaced(pairs, args.images), desc=benchmark, unit="image", disable=None):
            for method, version in encoded_versions(pair, methods, benchmark, args).items():
                versions[method, benchmark, pair.name] = version
    return versions


def photograph_versions(args: argparse.Namespace) -> tuple[list[str], Versions]:
    """The networks' names, and two parts of each photograph by each network.

    Raises:
        UserError: fewer than two networks, or all photographs are smaller than a part.
    """
    networks = dict(map(load_contender, args.methods or ()))
    if len(networks) < 2:
        raise UserError("--photographs: expected --methods with two or more of bicubic, released names and files")
    versions = {}
    paths = list_images(args.photographs)
    for path in tqdm(evenly_spaced(paths, args.images), unit="photograph", disable=None):
        image = read_rgb(path)
        for x, y in find_parts(image):
            for method, upscale in networks.items():
                part = encoded(upscale_part(image, x, y, upscale))
                versions[method, args.photographs.name, f"{path.name} {x} {y}"] = part
    if not versions:
        raise UserError(f"{args.photographs}: expected photographs of {WIDTH} x {HEIGHT} pixels or more, found none")
    return list(networks), versions


def evenly_spaced(items: Sequence[Item], count: int | None) -> list[Item]:
    """This many of the items (None: all), from the first to the last."""
    places = np.linspace(0, len(items) - 1, min(count or len(items), len(items))).round().astype(int)
    return [items[place] for place in places]


def chosen_methods(args: argparse.Namespace) -> list[str]:
    """The requested methods, or all that have results.

    Raises:
        UserError: a method has no results.
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


def encoded_versions(
    pair: ImagePair, methods: Sequence[str], benchmark: str, args: argparse.Namespace
) -> dict[str, str]:
    """Each method's version of an image, without metadata that would give the method away.

    HR and nearest are made from the pair, the others read from test.py's results.
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
        preferences = first.dropna(subset="winner")
        if preferences.empty:
            raise UserError(f"no picture was preferred in {len(first)} answers")
        scores = opinion_scores.preference_scores(preferences, methods)
        tests = opinion_scores.compare_preferences(preferences, methods)
        sections = [
            "# Preferences", markdown(scores), "Bradley-Terry: a score higher by 1 is preferred 2.7 times as often as "
            "not; low and high are the 95 % interval (bootstrap over raters and images).",
            "# Differences between methods", markdown(tests), "share: of the pairs in which `method` was preferred, "
            "low and high its 95 % interval (Wilson). Binomial test; p_holm is corrected for the pairs of methods. A "
            f"difference below 0.05 is significant. Undecided: {len(first) - len(preferences)} of {len(first)}.",
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
    """A row per method, a column per benchmark, and the paper's rows if they share one."""
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
