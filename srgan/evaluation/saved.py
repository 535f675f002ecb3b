"""Results that other programs have saved, to be scored along with this one's."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from srgan.common.errors import UserError
from srgan.common.images import list_images, read_rgb
from srgan.data.pairs import ImagePair


class SavedResults:
    """A method's SR pictures, in `FOLDER/<benchmark>/`, or in FOLDER itself if there is only one benchmark.

    A picture's name is, or begins with, the name of its image, its HR file or its LR file: `baby.png`,
    `baby_HR.png`, `babyx4.png`, `baby_SRCNN.png`.

    Raises:
        UserError: the folder isn't there, or doesn't hold exactly one picture of each image.
    """

    def __init__(self, folder: Path, benchmarks: Mapping[str, Sequence[ImagePair]]) -> None:
        self.files: dict[Path, Path] = {}  # by HR file
        for benchmark, pairs in benchmarks.items():
            inner = folder / benchmark
            if not inner.is_dir():
                if len(benchmarks) > 1:
                    raise UserError(f"{inner}: no such folder; with several benchmarks each needs one of its name")
                inner = folder
            pictures = list_images(inner)
            self.files |= {pair.hr: _picture_of(pair, pictures, inner) for pair in pairs}

    def read(self, pair: ImagePair, size: tuple[int, int]) -> np.ndarray:
        """The picture of a pair, uint8 H x W x 3.

        Raises:
            UserError: it can't be read, or its height and width are not `size`.
        """
        image = read_rgb(self.files[pair.hr])
        if image.shape[:2] != size:
            raise UserError(
                f"{self.files[pair.hr]}: expected the {size[1]} x {size[0]} pixels of {pair.hr.name} (cropped to a "
                f"multiple of the scale), found {image.shape[1]} x {image.shape[0]}"
            )
        return image


def _picture_of(pair: ImagePair, pictures: Sequence[Path], folder: Path) -> Path:
    names = {pair.name, pair.hr.stem} | ({pair.lr.stem} if pair.lr else set())
    found = [picture for picture in pictures if picture.stem in names]
    if not found:
        pattern = rf"({'|'.join(map(re.escape, names))})([^0-9A-Za-z]|x\d).*"
        found = [picture for picture in pictures if re.fullmatch(pattern, picture.stem)]
    if len(found) != 1:
        listed = ", ".join(picture.name for picture in found[:5]) or "none"
        raise UserError(f"{folder}: expected one picture of {pair.name}, such as {pair.name}.png, found {listed}")
    return found[0]


def parse_saved(specs: Sequence[str]) -> dict[str, Path]:
    """Folders by the method's name, from `NAME=FOLDER`.

    Raises:
        UserError: text of another form, or a name that is given twice or can't name a folder.
    """
    folders = {}
    for spec in specs:
        name, equals, folder = spec.partition("=")
        if not equals or not folder or not re.fullmatch(r"(?!\.+$)[\w.+-]+", name):
            raise UserError(f"--sr: expected NAME=FOLDER, the name of letters, digits and _.+-, found {spec!r}")
        if name in folders:
            raise UserError(f"--sr {name}: given twice")
        folders[name] = Path(folder)
    return folders
