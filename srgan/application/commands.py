"""The command line of `demo.py` and `srgan upscale`."""

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from srgan.application.batch import run
from srgan.application.choice import CLEAN, FOR, PHOTO, suited_weights
from srgan.application.jobs import Job, example_photograph, find_inputs, names_file, plan
from srgan.application.pictures import LOSSY, OPTIONS
from srgan.common import parallel
from srgan.common.errors import UserError, command
from srgan.common.options import device_options
from srgan.networks.foreign import OVERLAP
from srgan.networks.interpolate import load_with_strength
from srgan.upscaling.upscaler import TILE, Upscaler


@command
def upscale() -> int:
    """Upscale pictures (files, folders, patterns) and films; without any, a photograph that comes with scikit-image."""
    parser = argparse.ArgumentParser(description=upscale.__doc__, parents=[device_options(precision="auto")])
    parser.add_argument("pictures", nargs="*", metavar="IMAGE_OR_FOLDER")
    parser.add_argument("--out", type=Path, default="results/demo", help="folder, or a single file (%(default)s)")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="NAME_OR_PATH",
        help=f"{PHOTO} for compressed photographs, {CLEAN} for clean images (without this, each file gets the one that "
        "suits it), srresnet (softer, nearest to the original pixel by pixel), any other released NAME_x4.safetensors "
        "by its NAME, or the path of a weights file, checkpoint or run folder",
    )
    parser.add_argument("--strength", type=float, metavar="0..1", help="a mixture of srresnet (0) and srgan (1)")
    parser.add_argument(
        "--outscale", type=float, metavar="N", help="x N, such as 2, 3.5 or 8: by the network, then resized (bicubic)"
    )
    parser.add_argument("--tileable", "--seamless", action="store_true", help="keep the borders of a texture seamless")
    sides = " or ".join(f"{side} for {device}" for device, side in TILE.items())
    parser.add_argument("--tile", type=int, metavar="N", help=f"side of a tile in pixels ({sides})")
    parser.add_argument(
        "--overlap", type=int, metavar="N", default=OVERLAP, help="of spandrel's networks' tiles (%(default)s)"
    )
    parser.add_argument("--recursive", action="store_true", help="search subfolders, too")
    parser.add_argument("--skip-existing", action="store_true", help="skip images whose result exists")
    parser.add_argument("--compare", action="store_true", help="add comparisons with bicubic, and a page with a slider")
    parser.add_argument("--format", choices=[suffix[1:] for suffix in OPTIONS], help="output format (png)")
    parser.add_argument("--quality", type=int, metavar="1..100", help="for .jpg, .webp and .avif")
    parser.add_argument("--lossless", action="store_true", help="lossless .webp; it is lossy otherwise")
    args = parser.parse_args()

    folder = args.out.parent if names_file(args.out) else args.out
    inputs = parallel.from_main(lambda: find_inputs(args.pictures or [str(example_photograph(folder))], args.recursive))
    upscaler = cache(partial(_upscaler, args))
    # What suits a PNG is seen in its pixels, so each file is decoded for this, once at most.
    suited = cache(lambda path: args.weights or suited_weights(path))
    largest = upscaler(suited(inputs.files[0].path)).scale
    scale = largest if args.outscale is None else args.outscale
    if not 0 < scale < math.inf:
        raise UserError(f"--outscale: expected a factor above 0, found {args.outscale:g}")
    jobs = plan(inputs.files, args.out, scale, args.format and f".{args.format}")
    if jobs and not args.weights and parallel.is_main():
        counts = Counter(suited(job.source) for job in jobs)
        print("weights:", ", ".join(f"{name} for {counts[name]} {FOR[name]}" for name in sorted(counts)))
    page = folder / "compare.html" if args.compare or not args.pictures else None
    saving = _saving(args, jobs)
    failed = run(lambda path: upscaler(suited(path)), jobs, scale, page, args.skip_existing, args.tileable, **saving)
    if inputs.left_out:
        print("left out:", inputs.describe_left_out())
    return 1 if failed else 0


def _saving(args: argparse.Namespace, jobs: Sequence[Job]) -> dict[str, object]:
    """--quality and --lossless as options of `write_picture`.

    Raises:
        UserError: a result's format has no such option.
    """
    suffixes = sorted({job.target.suffix.lower() for job in jobs})
    if args.quality is not None:
        if not 1 <= args.quality <= 100:
            raise UserError(f"--quality: expected 1 to 100, found {args.quality}")
        if others := [suffix for suffix in suffixes if suffix not in LOSSY]:
            raise UserError(f"--quality is for {' '.join(LOSSY)}, but a result is {others[0]}: choose with --format")
    if args.lossless and (others := [suffix for suffix in suffixes if suffix != ".webp"]):
        raise UserError(
            f"--lossless is for .webp, but a result is {others[0]} (.png and .tif always are): choose with --format"
        )
    options = {"quality": args.quality, "lossless": args.lossless}
    return {name: value for name, value in options.items() if value}


def _upscaler(args: argparse.Namespace, weights: Path | str) -> Upscaler:
    network = weights if args.strength is None else load_with_strength(Path(weights), args.strength)
    return Upscaler(network, args.device, args.precision, args.tile, args.overlap)
