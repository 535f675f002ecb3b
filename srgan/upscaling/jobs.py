"""Pictures by the folder: what goes in, under which names it comes out, and the work itself, file by file."""

import glob
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from srgan.common import parallel
from srgan.common.errors import UserError
from srgan.common.images import EXTENSIONS, list_images, read_rgb, write_image
from srgan.data.resize import imresize
from srgan.upscaling.compare import compare, comparison_path, write_comparison, write_page
from srgan.upscaling.pictures import OPTIONS, Picture, read_picture, write_picture
from srgan.upscaling.upscaler import Upscaler


class Source(NamedTuple):
    """A picture, and its folder below the one that was named (empty for a file that was named itself)."""

    path: Path
    folder: Path = Path()


class Job(NamedTuple):
    """A picture to upscale and the file that its result goes to."""

    source: Path
    target: Path


def names_file(out: Path) -> bool:
    """Whether --out means the file of one result, by its extension, and not a folder."""
    return out.suffix.lower() in OPTIONS.keys() | EXTENSIONS and not out.is_dir()


def find_sources(names: Sequence[str], recursive: bool = False) -> list[Source]:
    """The pictures that files, folders and patterns name, each once; names of nothing are kept, to be reported.

    Raises:
        UserError: none of the names leads to a file.
    """
    sources: dict[Path, Source] = {}
    for name in names:
        # The shell may leave patterns to us (Windows, quotes).
        matches = [] if Path(name).exists() else sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute patterns)
        for path in map(Path, matches or [name]):
            found = _walk(path, path, recursive) if path.is_dir() else [Source(path)]
            sources.update({source.path.absolute(): source for source in found})
    if not any(source.path.exists() for source in sources.values()):
        raise UserError(f"{', '.join(names)}: expected image files or folders of them, found no image")
    return list(sources.values())


def _walk(folder: Path, root: Path, recursive: bool) -> Iterator[Source]:
    for path in list_images(folder):
        yield Source(path, folder.relative_to(root))
    if recursive:
        for path in sorted(folder.iterdir()):
            # A link to a folder may lead back up.
            if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                yield from _walk(path, root, recursive)


def photograph(folder: Path) -> Path:
    """Write a photograph that comes with scikit-image, a quarter as wide and high, into a folder."""
    import skimage

    path = folder / "astronaut.png"
    write_image(path, imresize(read_rgb(Path(skimage.__file__).parent / "data" / "astronaut.png"), 1 / 4))
    return path


def plan(sources: list[Source], out: Path, scale: int, suffix: str | None = None) -> list[Job]:
    """Give each picture the name of its result.

    In a folder this is `<stem>_x4.png`; pictures of one stem all take their whole names (`a.png_x4.png`,
    `a.jpg_x4.png`), and those of one name also their folders, so a name never means one picture today and another
    tomorrow. Results of an earlier call that lie among the sources are left out.

    Args:
        out: a folder; or, for one picture, a file with the extension of a format.
        suffix: the format, such as ".png", which is the default where `out` is a folder.

    Raises:
        UserError: `out` is a file, and there are several pictures, or its format isn't written or isn't `suffix`, or
            it is the picture itself.
    """
    if names_file(out):
        if len(sources) > 1:
            raise UserError(f"--out {out}: expected a folder for {len(sources)} pictures, found the name of a file")
        if out.suffix.lower() not in OPTIONS:
            raise UserError(f"--out {out}: expected a name that ends in one of {' '.join(OPTIONS)}, or a folder")
        if suffix and OPTIONS[suffix] != OPTIONS[out.suffix.lower()]:
            raise UserError(f"--out {out} and --format {suffix[1:]} are two formats: leave one of them out")
        if out.absolute() == sources[0].path.absolute():
            raise UserError(f"--out {out} is the picture itself: take another name")
        return [Job(sources[0].path, out)]
    ending = f"_x{scale}{suffix or '.png'}"
    jobs = [
        Job(source.path, out / name.with_name(name.name + ending))
        for source, name in zip(sources, _unique_names(sources), strict=True)
    ]
    results = {path.absolute() for job in jobs for path in (job.target, comparison_path(job.target))}
    return [job for job in jobs if job.source.absolute() not in results]


def _unique_names(sources: list[Source]) -> list[Path]:
    depths = [0] * len(sources)
    while True:
        names = [_name(source, depth) for source, depth in zip(sources, depths, strict=True)]
        # Some file systems take a.png and A.jpg for one stem.
        keys = [str(name) if depth else str(name).casefold() for name, depth in zip(names, depths, strict=True)]
        counts = Counter(keys)
        if len(counts) == len(keys):
            return names
        depths = [depth + (counts[key] > 1) for key, depth in zip(keys, depths, strict=True)]


def _name(source: Source, depth: int) -> Path:
    if depth < 2:
        return source.folder / (source.path.name if depth else source.path.stem)
    return Path(*source.path.absolute().parts[1:][-depth:])


def run(upscaler: Upscaler, jobs: list[Job], page: Path | None = None, skip_existing: bool = False) -> int:
    """Do the jobs; what fails is reported by name on standard error. With `page`, compare each with bicubic.

    Several processes share the jobs, and the main one speaks for all.

    Returns:
        How many failed.
    """
    failures: list[UserError] = []
    comparisons, done, skipped = [], [], []
    for job in tqdm(parallel.shard(jobs), unit="image", disable=len(jobs) == 1):
        with _reporting(failures):
            if skip_existing and job.target.exists():
                skipped.append(job)
                source, result = (read_picture(path) for path in job) if page else (None, None)
            else:
                source = read_picture(job.source)
                result = upscale_picture(upscaler, source, job.source.name)
                write_picture(job.target, result)
                done.append(job)
            if page:
                comparisons.append(compare(source, result, job.source.name, upscaler.scale))
                write_comparison(comparison_path(job.target), comparisons[-1])
    reported = len(failures)
    done, skipped, failures, comparisons = map(parallel.gather, (done, skipped, failures, comparisons))
    for error in failures[reported:]:
        _report(error)
    if comparisons and parallel.is_main():
        write_page(page, comparisons)
    print(f"{len(done)} of {len(jobs)} upscaled x{upscaler.scale}, {len(skipped)} skipped, {len(failures)} failed")
    return len(failures)


@contextmanager
def _reporting(failures: list[UserError]) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        failures.append(error)
        _report(error)


def _report(error: UserError) -> None:
    tqdm.write(f"error: {error}", file=sys.stderr)


def upscale_picture(upscaler: Upscaler, picture: Picture, name: str) -> Picture:
    """Upscale a picture, frame by frame; what it carries goes along. A large one shows a progress bar of its tiles.

    Raises:
        UserError: there is not enough memory.
    """
    progress = partial(tqdm, desc=name, unit="tile", leave=False, delay=2)
    try:
        return Picture([upscaler.upscale(frame, progress) for frame in picture.frames], picture.carried)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
