"""Which score agrees with the viewers? How often the picture with the better score was kept, of the answers in a table.

    python -m tools.agreement PHOTOGRAPHS bicubic srgan_photo general-x4v3.pth --reference x4plus.pth \\
        --lpips_weights squeezenet1_1.safetensors

Only answers on pictures of the networks given, as they are today, count (docs/ratings.csv names each by its file and
hash). There is no original: what needs one is measured from the reference's picture of the same part. Beside the share,
for which 50 % is chance, Spearman's correlation over the networks: of the mean score with the strength that the
Bradley-Terry model gives to the answers.
"""

import argparse
import csv
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.stats import spearmanr
from tqdm import tqdm

from srgan.application.opinion_scores import bradley_terry
from srgan.application.parts import load_contender, upscale_part
from srgan.common.errors import UserError, command
from srgan.common.images import read_rgb
from srgan.evaluation.perceptual import LPIPS

RATINGS = Path(__file__).parents[1] / "docs" / "ratings.csv"
Score = Callable[[np.ndarray, np.ndarray], float]  # picture, reference, uint8 H x W x 3 -> higher is better


def luma(image: np.ndarray) -> np.ndarray:
    return image.astype(float).mean(axis=2)


def sharpness(image: np.ndarray, _: np.ndarray) -> float:
    """The 95th percentile of the gradient, in grey levels a pixel, after a blur of 1 pixel."""
    return float(np.percentile(np.hypot(*np.gradient(gaussian_filter(luma(image), 1))), 95))


def flat_residue(image: np.ndarray, _: np.ndarray) -> float:
    """Minus the deviation from a blur of 2 pixels in the flattest fifth of the windows of 16 x 16, in grey levels."""
    y = luma(image)
    windows = uniform_filter((y - gaussian_filter(y, 2)) ** 2, 16)[8::16, 8::16]
    return -float(np.sqrt(np.sort(windows, axis=None)[: windows.size // 5].mean()))


def fine_power(image: np.ndarray) -> np.ndarray:
    """Logarithms of the power between blurs of 1 and 2 pixels, in windows of 32 x 32."""
    y = luma(image)
    return np.log(uniform_filter((gaussian_filter(y, 1) - gaussian_filter(y, 2)) ** 2, 32)[16::16, 16::16] + 1)


def scores(lpips: Score) -> dict[str, Score]:
    return {
        "LPIPS": lambda image, reference: -lpips(image, reference),
        "mean absolute error": lambda image, reference: -float(np.abs(luma(image) - luma(reference)).mean()),
        "power of fine detail": lambda a, b: -float(np.abs(fine_power(a) - fine_power(b)).mean()),
        "sharpness": sharpness,
        "residue on flat areas": flat_residue,
    }


def read_answers(table: Path, photographs: str, names: set[str]) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["photographs"] == photographs and row["kept"] != "same"]
    rows = [row for row in rows if {row["left"], row["right"]} <= names]
    if not rows:
        raise UserError(f"{table}: no answers on photographs named {photographs!r} by {', '.join(sorted(names))}")
    return rows


@command
def agreement() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, help="folder, of the name that the table has")
    parser.add_argument("networks", nargs="+", help="bicubic, released names, weights files or run folders")
    parser.add_argument("--reference", required=True, help="network whose picture stands for the original")
    parser.add_argument("--lpips_weights", default="", help="SqueezeNet 1.1's; downloaded if not given")
    parser.add_argument("--answers", type=Path, default=RATINGS)
    args = parser.parse_args()
    networks = dict(load_contender(name) for name in args.networks)
    reference, draw_reference = load_contender(args.reference)
    rows = read_answers(args.answers, args.photographs.name, set(networks))
    functions = scores(LPIPS("squeeze", args.lpips_weights))

    @cache
    def picture(name: str, photograph: str, part: str) -> np.ndarray:
        x, y = map(int, part.split())
        upscale = draw_reference if name == reference else networks[name]
        return upscale_part(read_rgb(args.photographs / photograph), x, y, upscale)

    @cache
    def scored(name: str, photograph: str, part: str) -> np.ndarray:
        images = picture(name, photograph, part), picture(reference, photograph, part)
        return np.array([score(*images) for score in functions.values()])

    names = sorted({row[side] for row in rows for side in ("left", "right")})
    wins, agreed = np.zeros((len(names), len(names))), []
    seen: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for row in tqdm(rows, unit="answer"):
        kept, other = (row["left"], row["right"]) if row["kept"] == "left" else (row["right"], row["left"])
        of_kept, of_other = (scored(name, row["photograph"], row["part"]) for name in (kept, other))
        agreed.append(of_kept > of_other)
        wins[names.index(kept), names.index(other)] += 1
        seen[kept].append(of_kept)
        seen[other].append(of_other)
    strength = bradley_terry(wins)
    means = np.array([np.mean(seen[name], axis=0) for name in names])
    print(f"{len(rows)} answers on pictures by {len(names)} networks; from {reference}:")
    for column, name in enumerate(functions):
        rank = spearmanr(means[:, column], strength).statistic if len(names) > 2 else np.nan
        print(f"{name}: {np.mean(agreed, axis=0)[column]:.0%}, Spearman {rank:.2f}")


if __name__ == "__main__":
    agreement()
