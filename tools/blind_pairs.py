"""Blind comparisons: which of two networks' pictures of the same photograph would a viewer rather keep?

    python -m tools.blind_pairs make PHOTOGRAPHS srresnet_photo bicubic --out pairs
    python -m tools.blind_pairs score pairs answers.csv --rater one --table docs/ratings.csv
    python -m tools.blind_pairs show PHOTOGRAPHS bicubic srresnet_photo --files a.jpg b.jpg --out beside.jpg

`make` writes a sheet for each of two parts of every photograph, both networks' pictures of it side by side; `key.csv`
holds which side is whose and isn't for viewers. They write a line `NN,left`, `NN,right` or `NN,same` for each sheet.
`score` prints how often each was kept and adds the answers to a table. No original is needed: these are photographs as
they are, not reduced ones. `show` draws the most detailed parts of some of them in one picture, with a column for each
network.
"""

import argparse
import csv
import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import binomtest

from srgan.common.errors import UserError, command, describe
from srgan.common.files import writing
from srgan.common.images import list_images, read_rgb, write_image
from srgan.networks.weights import find_weights
from srgan.upscaling.upscaler import Upscaler

WIDTH, HEIGHT = 144, 108  # of a part, in pixels of the photograph
MARGIN = 16  # around it, which the networks see as well
GAP = 12  # between the two pictures
COLUMNS = ("photographs", "photograph", "part", "left", "right")


def parts(image: np.ndarray) -> list[tuple[int, int]]:
    """(x, y) of the part with the most detail, and of one with a middling amount that doesn't overlap it.

    Detail is the mean difference of neighbouring pixels. A middling part has plain surfaces, which show noise.
    """
    luma = image.astype(float).mean(axis=2)
    detail = np.abs(np.gradient(luma)).sum(axis=0)
    corners = [
        (x, y)
        for y in range(0, len(luma) - HEIGHT + 1, HEIGHT // 4)
        for x in range(0, luma.shape[1] - WIDTH + 1, WIDTH // 4)
    ]
    if not corners:
        return []
    corners.sort(key=lambda c: -detail[c[1] : c[1] + HEIGHT, c[0] : c[0] + WIDTH].mean())
    first = corners[0]
    apart = [c for c in corners[len(corners) // 2 :] if abs(c[0] - first[0]) >= WIDTH or abs(c[1] - first[1]) >= HEIGHT]
    return [first, *apart[:1]]


def upscaled(image: np.ndarray, x: int, y: int, upscale: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """A part as a network shows it, without the margin that it saw."""
    left, top = max(x - MARGIN, 0), max(y - MARGIN, 0)
    seen = Image.fromarray(image[top : y + HEIGHT + MARGIN, left : x + WIDTH + MARGIN])
    sr = np.asarray(upscale(seen))
    scale = sr.shape[1] // seen.width
    top, left = (y - top) * scale, (x - left) * scale
    return sr[top : top + HEIGHT * scale, left : left + WIDTH * scale]


def network(name: str, scale: int = 4) -> tuple[str, Callable[[Image.Image], Image.Image]]:
    """The name in the table, with the file's hash, and the function that upscales a picture."""
    if name == "bicubic":
        return name, lambda image: image.resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC)
    path = find_weights(Path(name))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return f"{path.stem}@{digest}", Upscaler(path).upscale


def make(args: argparse.Namespace) -> None:
    rng = np.random.default_rng(args.seed)
    networks = [network(name) for name in args.networks]
    rows: list[tuple[str, ...]] = []
    for path in list_images(args.photographs):
        image = read_rgb(path)
        for x, y in parts(image):
            (left, draw_left), (right, draw_right) = (networks[i] for i in rng.permutation(2))
            gap = np.full((HEIGHT * 4, GAP, 3), 255, np.uint8)
            sheet = np.hstack([upscaled(image, x, y, draw_left), gap, upscaled(image, x, y, draw_right)])
            write_image(args.out / f"{len(rows):02d}.png", sheet)
            rows.append((args.photographs.name, path.name, f"{x} {y}", left, right))
    if not rows:
        raise UserError(f"{args.photographs}: expected photographs of {WIDTH} x {HEIGHT} pixels or more, found none")
    with (args.out / "key.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("pair", *COLUMNS), *((f"{n:02d}", *row) for n, row in enumerate(rows))])
    print(f"{len(rows)} pairs: {args.out}; key.csv is not for viewers")


def show(args: argparse.Namespace) -> None:
    networks = [network(name)[1] for name in args.networks]
    rows = []
    for name in args.files:
        image = read_rgb(args.photographs / name)
        for x, y in parts(image)[:1]:
            rows.append(np.hstack([upscaled(image, x, y, draw)[: args.height] for draw in networks]))
    if not rows:
        raise UserError(f"--files: expected photographs of {WIDTH} x {HEIGHT} pixels or more, found none")
    write_image(args.out, np.vstack(rows), quality=88)
    print(f"written: {args.out}")


def lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {describe(error)}") from error


def score(args: argparse.Namespace) -> None:
    key = {row["pair"]: row for row in csv.DictReader(lines(args.out / "key.csv"))}
    rows = csv.reader(lines(args.answers))
    answers = {row[0].strip(): row[1].strip() for row in rows if len(row) == 2 and row[0].strip() in key}
    if wrong := sorted(set(answers.values()) - {"left", "right", "same"}):
        raise UserError(f"{args.answers}: expected left, right or same, found {wrong[0]!r}")
    kept = Counter(key[pair][side] for pair, side in answers.items() if side != "same")
    total = kept.total()
    for name in sorted({row["left"] for row in key.values()}, key=lambda name: -kept[name]):
        low, high = binomtest(kept[name], max(total, 1)).proportion_ci(method="wilson")
        print(f"{name}: kept in {kept[name]} of {total} ({low:.0%} to {high:.0%})")
    print(f"same: {len(answers) - total}; not answered: {len(key) - len(answers)}")
    if args.table:
        new = not args.table.exists()
        with writing(args.table), args.table.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow((*COLUMNS, "rater", "kept"))
            writer.writerows((*(key[p][c] for c in COLUMNS), args.rater, side) for p, side in sorted(answers.items()))


@command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("make", help="write the sheets and the key")
    making.add_argument("photographs", type=Path, help="folder")
    making.add_argument("networks", nargs=2, help="two of: bicubic, a released name, a weights file or run folder")
    making.add_argument("--out", type=Path, default=Path("pairs"))
    making.add_argument("--seed", type=int, default=0, help="of the sides")
    making.set_defaults(run=make)
    scoring = commands.add_parser("score", help="count the answers of one viewer")
    scoring.add_argument("out", type=Path, help="folder of the sheets")
    scoring.add_argument("answers", type=Path)
    scoring.add_argument("--rater", default="", help="who answered, for the table")
    scoring.add_argument("--table", type=Path, help="CSV file that the answers are added to")
    scoring.set_defaults(run=score)
    showing = commands.add_parser("show", help="draw parts of photographs by several networks beside one another")
    showing.add_argument("photographs", type=Path, help="folder")
    showing.add_argument("networks", nargs="+", help="as for make")
    showing.add_argument("--files", nargs="+", required=True, metavar="NAME", help="photographs of the folder")
    showing.add_argument("--height", type=int, default=HEIGHT * 4, help="of each row in pixels (%(default)s)")
    showing.add_argument("--out", type=Path, required=True)
    showing.set_defaults(run=show)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
