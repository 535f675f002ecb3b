"""Upscaling batches of pictures and films, file by file; one bad file never stops the others."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from srgan.application.comparison import compare_with_bicubic, is_page, page_figure, write_comparison, write_page
from srgan.application.enlarger import Enlarger
from srgan.application.films import is_film, upscale_film
from srgan.application.jobs import Job, comparison_path, is_own_result
from srgan.application.pictures import TIFF, Picture, check_format, read_picture, write_picture
from srgan.common import parallel
from srgan.common.errors import UserError
from srgan.common.files import remove_leftovers, writing
from srgan.common.output import printable
from srgan.upscaling.upscaler import Upscaler

# An animation is in memory as a whole, and twice more in Pillow: 12 bytes per pixel of the result, 3 GB at this size.
MOST_FRAME_PIXELS = 2**28
# From here on the size of the result is announced.
LARGE_PIXELS = 64_000_000


def run(
    choose: Callable[[Path], Upscaler],
    jobs: Sequence[Job],
    scale: float,
    page: Path | None = None,
    skip_existing: bool = False,
    tileable: bool = False,
    **saving: object,
) -> int:
    """Do the jobs; failures are reported by name on standard error. Each of several processes does its shard.

    Args:
        choose: the upscaler for a file.
        scale: the factor of the results; those of a network with another factor are resized by MATLAB's bicubic.
        page: compare each result with bicubic, in a picture next to it and in this HTML page.
        skip_existing: keep existing results.
        tileable: beyond a border comes the opposite side, as for seamless textures.
        saving: options of `write_picture`.

    Returns:
        How many failed.

    Raises:
        UserError: a folder can't be created; `page` is not one of our files, or can't be written.
    """
    if page:
        _keep_foreign(page, is_page)
    if parallel.is_main():
        for folder in {job.target.parent for job in jobs}:
            # So that an unwritable folder is found before the work, not after it.
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
            # Not those of a process that is still writing.
            remove_leftovers(folder, seconds=600)
    counts: Counter[str] = Counter()
    errors: list[str] = []
    figures: list[Any] = []
    for job in tqdm(parallel.shard(jobs), unit="image", disable=len(jobs) == 1 or None):
        # `writing`: a name that is too long for the disk fails at the first access.
        with _reporting(errors), writing(job.target):
            if skip_existing and job.target.exists():
                counts["skipped"] += 1
                pictures = _read_again(job) if page else None
            else:
                pictures = _upscale_file(Enlarger(choose(job.source), scale, tileable), job, saving)
                counts["upscaled"] += 1
            if page and pictures:
                figures.append(_compare(job, *pictures, scale))
    return _summarise(jobs, scale, counts, errors, figures, page)


def _summarise(
    jobs: Sequence[Job], scale: float, counts: Counter, errors: list[str], figures: list[str], page: Path | None
) -> int:
    """Print what all processes did, and write the page. Returns: how many jobs failed."""
    reported = len(errors)
    counts, errors, figures = (
        sum(parallel.gather([counts]), Counter()),
        parallel.gather(errors),
        parallel.gather(figures),
    )
    for message in errors[reported:]:
        _report(message)
    print(f"{counts['upscaled']} of {len(jobs)} upscaled x{scale:g}, {counts['skipped']} skipped, {len(errors)} failed")
    if counts:
        folder = os.path.commonpath([job.target.parent for job in jobs])
        print("results:", printable(folder if len(jobs) > 1 else jobs[0].target))
    if page and figures and parallel.is_main():
        write_page(page, figures, scale)
        print("beside bicubic:", printable(page))
    return len(errors)


def _keep_foreign(path: Path, is_own: Callable[[Path], bool]) -> None:
    if path.exists() and not is_own(path):
        raise UserError(f"{path} exists and is not a result of this program: move it, or choose another --out")


def _upscale_file(enlarge: Enlarger, job: Job, saving: dict[str, object]) -> tuple[Picture, Picture] | None:
    """Upscale one file. Returns: its picture and the result, or None for a film."""
    _keep_foreign(job.target, is_own_result)
    if is_film(job.source):
        progress = partial(tqdm, desc=printable(job.source.name), unit="frame", leave=False, disable=None)
        upscale_film(job.source, job.target, enlarge, progress)
        return None
    all_pages = job.target.suffix.lower() in TIFF
    largest = max(enlarge.scale, enlarge.upscaler.scale)
    source = read_picture(job.source, all_pages, MOST_FRAME_PIXELS / largest**2)
    check_format(job.target, source, enlarge.scale)
    _announce(job, source, enlarge.scale)
    result = upscale_picture(enlarge, source, printable(job.source.name))
    write_picture(job.target, result, **saving)
    return source, result


def _read_again(job: Job) -> tuple[Picture, Picture] | None:
    """A picture and its existing result, or None for a film."""
    return None if is_film(job.source) else (read_picture(job.source), read_picture(job.target))


def _compare(job: Job, source: Picture, result: Picture, scale: float) -> str:
    """Write a result's comparison with bicubic next to it. Returns: its figure for the page."""
    path = comparison_path(job.target)
    _keep_foreign(path, is_own_result)
    comparison = compare_with_bicubic(source, result, printable(job.source.name), scale)
    write_comparison(path, comparison)
    return page_figure(comparison)


def upscale_picture(enlarge: Enlarger, picture: Picture, name: str) -> Picture:
    """Upscale a picture, frame by frame, keeping its metadata; slow ones show their progress, labelled with the name.

    Raises:
        UserError: there is not enough memory.
    """
    progress = partial(tqdm, desc=name, leave=False, delay=2, disable=None)

    try:
        if len(picture.frames) == 1:
            frames = [enlarge(picture.frames[0], partial(progress, unit="tile"))]
        else:
            frames = [enlarge(frame) for frame in progress(picture.frames, unit="frame")]
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    return Picture(frames, picture.metadata)


def _announce(job: Job, picture: Picture, scale: float) -> None:
    """Say in advance what a user may not expect of the result."""
    name, suffix = printable(job.source.name), job.target.suffix.lower()
    if picture.is_animation and job.source.suffix.lower() == ".gif" and suffix == ".png":
        tqdm.write(f"{name}: {len(picture.frames)} frames become an animated PNG (--format gif: a GIF, of 256 colours)")
    height, width = (round(scale * side) for side in picture.frames[0].shape[:2])
    if width * height > LARGE_PIXELS:
        size = (
            f", a file of about {1.2e-6 * width * height * picture.frames[0].itemsize:.0f} MB"
            if suffix == ".png"
            else ""
        )
        tqdm.write(f"{name} becomes {width} x {height} pixels{size} (--outscale and --format jpg make it smaller)")


@contextmanager
def _reporting(errors: list[str]) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        errors.append(str(error))
        _report(errors[-1])


def _report(message: str) -> None:
    tqdm.write(f"error: {printable(message)}", file=sys.stderr)
