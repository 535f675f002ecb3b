"""The command line of `srgan download_div2k`: fetches DIV2K and unpacks it."""

import argparse
import shutil
import socket
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from torchvision.datasets.utils import check_integrity, download_url, extract_archive

from srgan.common.errors import UserError, command, describe
from srgan.common.files import writing

TIMEOUT = 60  # seconds without a byte from the server


class Archive(NamedTuple):
    name: str
    md5: str
    folder: str
    images: int


ARCHIVES = [
    Archive("DIV2K_train_HR.zip", "bdc2d9338d4e574fe81bf7d158758658", "DIV2K_train_HR", 800),
    Archive("DIV2K_valid_HR.zip", "9fcdda83005c5e5997799b69f955ff88", "DIV2K_valid_HR", 100),
    Archive("DIV2K_train_LR_bicubic_X4.zip", "76c43ec4155851901ebbe8339846d93d", "DIV2K_train_LR_bicubic/X4", 800),
    Archive("DIV2K_valid_LR_bicubic_X4.zip", "21962de700c8d368c6ff83314480eff0", "DIV2K_valid_LR_bicubic/X4", 100),
]


def fetch(archive: Archive, url: str, root: Path, keep: bool) -> None:
    """Download, check and unpack one archive into `root`, unless all its images are there.

    Raises:
        UserError: `root` can't be written, no connection, a damaged download, or an archive with unexpected content.
    """
    folder = root / archive.folder
    if _images(folder) == archive.images:
        print(f"{folder}: {archive.images} images, already there")
        return
    path = root / archive.name
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
    socket.setdefaulttimeout(TIMEOUT)
    try:
        download_url(f"{url}/{archive.name}", root, md5=archive.md5)
    # HTTPException: the answer is not HTTP; ValueError: not a URL; AttributeError: one of data.
    except (OSError, RuntimeError, HTTPException, ValueError, AttributeError) as error:
        if path.exists() and not check_integrity(path, archive.md5):
            path.unlink()
        raise UserError(
            f"{url}/{archive.name}: can't be fetched: {describe(error)}; check the connection and run again"
        ) from error
    # Unpacked elsewhere and moved when complete, so that an interruption never leaves an incomplete folder.
    aside = root / f".{archive.name}.part"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        extract_archive(str(path), str(aside))
        if (found := _images(aside / archive.folder)) != archive.images:
            raise UserError(f"{path}: expected {archive.images} images in {archive.folder}, found {found}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        (aside / archive.folder).rename(folder)
    except OSError as error:
        raise UserError(f"{path}: can't be unpacked: {describe(error)}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    if not keep:
        path.unlink()
    print(f"{folder}: {archive.images} images")


def _images(folder: Path) -> int:
    return sum(1 for _ in folder.glob("*.png"))


@command
def download_div2k() -> None:
    """Download and unpack DIV2K: 800 training and 100 validation photographs of 2K, with their bicubic x4 reductions.

    What exists is not downloaded again: archives are checked by MD5, unpacked folders by their number of images.
    DIV2K is for academic research only: https://data.vision.ee.ethz.ch/cvl/DIV2K/
    """
    parser = argparse.ArgumentParser(description=download_div2k.__doc__)
    parser.add_argument("--root", type=Path, default="datasets/DIV2K", help="where it goes (default: datasets/DIV2K)")
    parser.add_argument("--url", default="http://data.vision.ee.ethz.ch/cvl/DIV2K", help="folder of the archives")
    parser.add_argument("--keep", action="store_true", help="keep the archives after unpacking (4.5 GB)")
    args = parser.parse_args()
    for archive in ARCHIVES:
        fetch(archive, args.url.rstrip("/"), args.root, args.keep)
