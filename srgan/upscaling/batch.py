"""Upscaling batches of pictures and films, file by file; one bad file never stops the others."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from srgan.common import parallel
from srgan.common.errors import UserError
from srgan.common.files import printable, remove_leftovers
from srgan.data.resize import imresize
from srgan.upscaling.comparison import compare_with_bicubic, is_page, page_figure, write_comparison, write_page
from srgan.upscaling.films import is_film, upscale_film
from srgan.upscaling.jobs import Job, comparison_path, is_own_result
from srgan.upscaling.pictures import TIFF, Picture, check_format, read_picture, write_picture
from srgan.upscaling.upscaler import Upscaler

# An animation is held in memory as a whole, by Pillow once more: 4 GB at this size of the result.
MOST_FRAME_PIXELS = 2**29
# From here on the size of the result is told beforehand.
LARGE_PIXELS = 64_000_000


def run(
    upscaler: Upscaler,
    jobs: Sequence[Job],
    outscale: int | None = None,
    page: Path | None = None,
    skip_existing: bool = False,
) -> int:
    """Do the jobs; what fails is reported by name on standard error. Of several processes each does its shard.

    Args:
        outscale: the factor of the results, if not the network's: they are reduced by MATLAB's bicubic.
        page: compare each result with bicubic, in a picture beside it and in this HTML page.
        skip_existing: leave results alone that are there.

    Returns:
        How many failed.

    Raises:
        UserError: `page` is a file of somebody else's, or can't be written.
    """
    scale = outscale or upscaler.scale
    if page:
        _keep_foreign(page, is_page)
    if parallel.is_main():
        for folder in {job.target.parent for job in jobs}:
            # Not those of another process that is still writing.
            remove_leftovers(folder, seconds=600)
    errors: list[str] = []
    done, skipped, figures = 0, 0, []
    for job in tqdm(parallel.shard(jobs), unit="image", disable=len(jobs) == 1 or None):
        with _reporting(errors):
            pictures = None
            if skip_existing and job.target.exists():
                skipped += 1
                if page and not is_film(job.source):
                    pictures = read_picture(job.source), read_picture(job.target)
            else:
                _keep_foreign(job.target, is_own_result)
                pictures = _upscale_file(upscaler, job, scale)
                done += 1
            if page and pictures:
                comparison = compare_with_bicubic(*pictures, printable(job.source.name), scale)
                _keep_foreign(comparison_path(job.target), is_own_result)
                write_comparison(comparison_path(job.target), comparison)
                figures.append(page_figure(comparison))
    reported = len(errors)
    errors, figures = parallel.gather(errors), parallel.gather(figures)
    done, skipped = (sum(parallel.gather([count])) for count in (done, skipped))
    for message in errors[reported:]:
        _report(message)
    print(f"{done} of {len(jobs)} upscaled x{scale}, {skipped} skipped, {len(errors)} failed")
    if done + skipped:
        print("results:", printable(_common_folder(jobs) if len(jobs) > 1 else jobs[0].target))
    if figures and parallel.is_main():
        write_page(page, figures, scale)
        print("beside bicubic:", printable(page))
    return len(errors)


def _keep_foreign(path: Path, is_own: Callable[[Path], bool]) -> None:
    if path.exists() and not is_own(path):
        raise UserError(f"{path} is there and is no result of this program: move it, or take another --out")


def _upscale_file(upscaler: Upscaler, job: Job, scale: int) -> tuple[Picture, Picture] | None:
    """Upscale one file; its picture and the result, or None for a film."""
    if is_film(job.source):
        progress = partial(tqdm, desc=printable(job.source.name), unit="frame", leave=False, disable=None)
        upscale_film(job.source, job.target, partial(_upscale_frame, upscaler, scale), progress)
        return None
    all_pages = job.target.suffix.lower() in TIFF
    source = read_picture(job.source, all_pages, MOST_FRAME_PIXELS / upscaler.scale**2)
    check_format(job.target, source, scale)
    _announce(job, source, scale)
    result = upscale_picture(upscaler, source, printable(job.source.name), scale)
    write_picture(job.target, result)
    return source, result


def upscale_picture(upscaler: Upscaler, picture: Picture, name: str, scale: int) -> Picture:
    """Upscale a picture, frame by frame, metadata kept. One that takes long shows its progress under the name.

    Raises:
        UserError: there is not enough memory.
    """
    progress = partial(tqdm, desc=name, leave=False, delay=2, disable=None)

    try:
        if len(picture.frames) == 1:
            frames = [_upscale_frame(upscaler, scale, picture.frames[0], partial(progress, unit="tile"))]
        else:
            frames = [_upscale_frame(upscaler, scale, frame) for frame in progress(picture.frames, unit="frame")]
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    return Picture(frames, picture.metadata)


def _upscale_frame(
    upscaler: Upscaler, scale: int, frame: np.ndarray, progress: Callable[[Iterable], Iterable] = iter
) -> np.ndarray:
    result = upscaler.upscale(frame, progress)
    return result if scale == upscaler.scale else imresize(result, scale / upscaler.scale)


def _announce(job: Job, picture: Picture, scale: int) -> None:
    """Say beforehand what a user may not expect of the result."""
    name, suffix = printable(job.source.name), job.target.suffix.lower()
    if picture.is_animation and job.source.suffix.lower() == ".gif" and suffix == ".png":
        tqdm.write(f"{name}: {len(picture.frames)} frames become an animated PNG (--format gif: a GIF, of 256 colours)")
    height, width = (scale * side for side in picture.frames[0].shape[:2])
    if width * height > LARGE_PIXELS:
        size = (
            f", a file of about {1.2e-6 * width * height * picture.frames[0].itemsize:.0f} MB"
            if suffix == ".png"
            else ""
        )
        tqdm.write(f"{name} becomes {width} x {height} pixels{size} (--outscale and --format jpg make it smaller)")


def _common_folder(jobs: Sequence[Job]) -> str:
    return os.path.commonpath([job.target.parent for job in jobs])


@contextmanager
def _reporting(errors: list[str]) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        errors.append(str(error))
        _report(errors[-1])


def _report(message: str) -> None:
    tqdm.write(f"error: {printable(message)}", file=sys.stderr)
