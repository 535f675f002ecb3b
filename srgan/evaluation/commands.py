"""The command line of `test.py` and `srgan test`."""

import argparse
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from srgan.common import parallel
from srgan.common.errors import UserError, command
from srgan.common.options import device_options
from srgan.common.precision import select_device
from srgan.data.pairs import match_pairs
from srgan.evaluation.benchmarks import run_benchmarks
from srgan.evaluation.evaluate import distinct_names, load_benchmarks, load_methods
from srgan.evaluation.metrics import DEFAULT_METRICS, Protocol, load_metrics
from srgan.evaluation.saved import SavedResults, parse_saved
from srgan.evaluation.strips import INTERPOLATION
from srgan.networks.foreign import OVERLAP


@command
def test() -> None:
    """Score networks, and results of other programs, on benchmarks: tables, charts and side-by-side strips."""
    args = _arguments()
    methods, scale = load_methods(
        args.weights, args.scale, args.device, args.precision, args.self_ensemble, args.overlap, args.interpolate
    )
    networks = [name for name in methods if name not in INTERPOLATION]
    line = networks[: len(args.interpolate) + 2] if args.interpolate else []
    if args.hr:
        (name,) = distinct_names([args.hr])
        benchmarks = {name: match_pairs(args.hr, args.lr, scale)}
    else:
        benchmarks = load_benchmarks(args.data, scale)
    metrics = load_metrics(args.metrics, scale, select_device(args.device).type)
    protocol = Protocol(scale if args.border is None else args.border, args.rgb, metrics)
    for name, folder in parse_saved(args.sr).items():
        if name in methods:
            raise UserError(f"--sr {name}: there is a method of this name already")
        if folder.resolve() == (args.out / "images" / name).resolve():
            raise UserError(f"--sr {name}: the images in {folder} would be overwritten: choose another --out")
        methods[name] = SavedResults(folder, benchmarks)
    with ThreadPoolExecutor(1) as background:
        # pandas and matplotlib are imported, which takes half a second, while the networks are at work.
        background.submit(import_module, "srgan.evaluation.charts")
        rows = run_benchmarks(methods, benchmarks, scale, protocol, args.out, args.crops, args.skip_unscorable)
    if parallel.is_main():
        import pandas as pd

        from srgan.evaluation.charts import draw_charts, draw_tradeoff
        from srgan.evaluation.report import set_earlier_aside, write_tables

        earlier = set_earlier_aside(args.out)
        if earlier:
            print(f"tables and charts of the earlier run in {args.out}: moved to {earlier}\n")
        asked = [name for name in methods if name != "bicubic" or "bicubic" in args.weights]
        scores = pd.DataFrame(rows)
        print(write_tables(scores, asked, protocol, args.out), end="")
        draw_charts(scores, metrics, args.out)
        draw_tradeoff(scores, metrics, args.out, line)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=test.__doc__, parents=[device_options(precision="fp32")])
    parser.add_argument(
        "--weights", nargs="+", default=[], help="weights files, run folders, names such as srgan, bicubic or nearest"
    )
    parser.add_argument(
        "--interpolate",
        nargs="+",
        type=float,
        default=[],
        metavar="STRENGTH",
        help="also networks between the first two weights, such as 0.25 0.5 0.75",
    )
    parser.add_argument(
        "--sr", nargs="+", default=[], metavar="NAME=FOLDER", help="other programs' results, as FOLDER/Set5/baby.png"
    )
    parser.add_argument("--data", nargs="+", type=Path, default=[], help="folders: image_SRF_4, DIV2K, or HR images")
    parser.add_argument("--hr", type=Path, help="folder of HR images, with --lr in place of --data")
    parser.add_argument("--lr", type=Path, help="folder of their LR images, paired by name")
    parser.add_argument("--out", type=Path, default="results", help="folder of the results (default: results)")
    parser.add_argument("--metrics", nargs="+", default=DEFAULT_METRICS, help="psnr, ssim, ...: see docs/EVALUATION.md")
    parser.add_argument("--rgb", action="store_true", help="PSNR and SSIM on R, G and B instead of Y")
    parser.add_argument("--border", type=int, help="pixels cut off each side (default: the scale)")
    parser.add_argument("--self-ensemble", action="store_true", help="mean over eight flips and turns of each image")
    parser.add_argument(
        "--skip-unscorable", action="store_true", help="leave out images that can't be read or scored, and name them"
    )
    parser.add_argument("--crops", type=int, help="strips for the first N images of a folder only (default: all)")
    parser.add_argument("--scale", type=int, help="for bicubic and nearest alone (default: 4)")
    parser.add_argument("--overlap", type=int, default=OVERLAP, help="of spandrel's networks' tiles (%(default)s)")
    args = parser.parse_args()
    args.interpolate = sorted(set(args.interpolate))
    if bool(args.hr) != bool(args.lr) or bool(args.data) == bool(args.hr):
        raise UserError("expected either --data FOLDER ... or --hr FOLDER --lr FOLDER")
    if not args.weights and not args.sr:
        raise UserError("expected --weights, or --sr, or both")
    if min(args.border or 0, args.crops or 0) < 0 or (args.scale is not None and args.scale < 2):
        raise UserError("expected --border and --crops of 0 or more, --scale of 2 or more")
    return args
