"""Which picture files are upscaled, and how the results are named."""

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from srgan.application import films
from srgan.application.metadata import is_result
from srgan.application.pictures import OPTIONS
from srgan.common.decoding import RAW
from srgan.common.errors import UserError
from srgan.common.files import walk
from srgan.common.images import EXTENSIONS, list_images, open_image, read_rgb, write_image
from srgan.data.resize import imresize


class InputFile(NamedTuple):
    """A picture file, and its folder relative to the given one (empty for a file that was given itself)."""

    path: Path
    folder: Path = Path()


@dataclass
class Inputs:
    """The picture files found, and the number of others, by extension."""

    files: list[InputFile] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def describe_left_out(self) -> str:
        """Such as "3 .pdf (save their pages as images), 1 .txt, 2 folder(s) (--recursive looks into them)"."""
        hints = {".pdf": " (save their pages as images)", "folder(s)": " (--recursive looks into them)"}
        hints |= dict.fromkeys(films.EXTENSIONS, " (films have to be named)")
        hints |= dict.fromkeys(RAW, " (raw files have to be developed first)")
        return ", ".join(f"{count} {kind}{hints.get(kind, '')}" for kind, count in sorted(self.left_out.items()))


class Job(NamedTuple):
    """A picture to upscale and the file that its result goes to."""

    source: Path
    target: Path


def names_file(out: Path) -> bool:
    """Whether --out means the file of one result, by its extension, rather than a folder."""
    return out.suffix.lower() in OPTIONS.keys() | EXTENSIONS | films.EXTENSIONS and not out.is_dir()


def find_inputs(names: Sequence[str], recursive: bool = False) -> Inputs:
    """The picture files that files, folders and patterns name, each once; missing ones are kept, to be reported.

    In folders these are files with an image's extension, and files without extension that open as an image. Films must
    be named, since each takes hours.

    Raises:
        UserError: none of the names leads to a picture file.
    """
    inputs = Inputs()
    for name in names:
        # The shell may not expand patterns (Windows, quotes).
        matches = [] if Path(name).exists() else sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute patterns)
        for path in map(Path, matches or [name]):
            if path.is_dir():
                _add_folder(inputs, path, recursive)
            else:
                inputs.files.append(InputFile(path))
    unique: dict[Path, InputFile] = {}
    for file in inputs.files:
        unique.setdefault(_identity(file.path), file)
    inputs.files = list(unique.values())
    if not inputs.files:
        found = inputs.describe_left_out() or "no image"
        raise UserError(f"{', '.join(names)}: expected image files or folders of them, found {found}")
    if not any(file.path.exists() for file in inputs.files):
        raise UserError(f"{', '.join(str(file.path) for file in inputs.files)}: no such file or folder")
    return inputs


def _add_folder(inputs: Inputs, root: Path, recursive: bool) -> None:
    for folder in walk(root) if recursive else [root]:
        images = set(list_images(folder))
        for path in sorted(folder.iterdir()):
            if path.name.startswith("."):
                continue
            if path in images or (not path.suffix and path.is_file() and _is_image(path)):
                inputs.files.append(InputFile(path, folder.relative_to(root)))
            elif not path.is_dir():
                inputs.left_out[path.suffix.lower() or "without extension"] += 1
            elif not recursive:
                inputs.left_out["folder(s)"] += 1


def _is_image(path: Path) -> bool:
    try:
        with open_image(path):
            return True
    except UserError:
        return False


def _identity(path: Path) -> Path:
    """One path, whatever name its folder goes by; links to a file count as separate files."""
    return path.parent.resolve() / path.name


def example_photograph(folder: Path) -> Path:
    """A photograph that comes with scikit-image, at a quarter of its size, written into a folder unless it exists."""
    path = folder / "astronaut.png"
    if not path.exists():
        import skimage

        write_image(path, imresize(read_rgb(Path(skimage.__file__).parent / "data" / "astronaut.png"), 1 / 4))
    return path


def comparison_path(target: Path) -> Path:
    """The file of the picture that compares a result with bicubic."""
    return target.with_name(f"{target.stem}_compare.png")


def plan(files: Sequence[InputFile], out: Path, scale: float, suffix: str | None = None) -> list[Job]:
    """Name the result of each picture.

    In a folder this is `<stem>_x4.png`. Pictures with the same stem all keep their whole names (`a.png_x4.png`,
    `a.jpg_x4.png`), and those with the same name also their folders, so that a name never means different pictures on
    different days. Results of an earlier call, and their comparisons, are skipped if they are among the files.

    Args:
        out: a folder; or, for one picture, a file with the extension of a format.
        suffix: the format of pictures, such as ".png", the default if `out` is a folder.

    Raises:
        UserError: `out` is a file, and there are several pictures, or its format isn't supported or isn't `suffix`, or
            it is the picture itself; or a film would become an animation.
    """
    for file in files:
        if suffix in (".gif", ".webp") and films.is_film(file.path):
            raise UserError(f"--format {suffix[1:]}: {file.path} is a film, and becomes one: {' '.join(films.RESULTS)}")
    if names_file(out):
        if len(files) > 1:
            raise UserError(f"--out {out}: expected a folder for {len(files)} pictures, found the name of a file")
        formats = films.RESULTS if films.is_film(files[0].path) else OPTIONS
        if out.suffix.lower() not in formats:
            raise UserError(f"--out {out}: expected a name that ends in one of {' '.join(formats)}, or a folder")
        kinds = Image.registered_extensions()  # .tif and .tiff are one format
        if suffix and formats is OPTIONS and kinds[suffix] != kinds[out.suffix.lower()]:
            raise UserError(f"--out {out} and --format {suffix[1:]} are two formats: leave one of them out")
        if out.exists() and files[0].path.exists() and out.samefile(files[0].path):
            raise UserError(f"--out {out} is the picture itself: choose another name")
        return [Job(files[0].path, out)]
    jobs = []
    for file, name in zip(files, _unique_names(files), strict=True):
        ending = films.result_suffix(file.path) if films.is_film(file.path) else suffix or ".png"
        jobs.append(Job(file.path, out / name.with_name(f"{name.name}_x{scale:g}{ending}")))
    targets = {_identity(path) for job in jobs for path in (job.target, comparison_path(job.target))}
    return [job for job in jobs if _identity(job.source) not in targets or not is_own_result(job.source)]


def is_own_result(path: Path) -> bool:
    """Whether a file is a result of this program, picture or film, by its mark."""
    return films.is_film_result(path) if films.is_film(path) else is_result(path)


def _unique_names(files: Sequence[InputFile]) -> list[Path]:
    depths = [0] * len(files)
    while True:
        names = [_name(file, depth) for file, depth in zip(files, depths, strict=True)]
        # On some file systems, a.png and A.jpg have the same stem.
        keys = [str(name) if depth else str(name).casefold() for name, depth in zip(names, depths, strict=True)]
        counts = Counter(keys)
        if len(counts) == len(keys):
            return names
        depths = [depth + (counts[key] > 1) for key, depth in zip(keys, depths, strict=True)]


def _name(file: InputFile, depth: int) -> Path:
    if depth < 2:
        return file.folder / (file.path.name if depth else file.path.stem)
    return Path(*file.path.absolute().parts[1:][-depth:])
