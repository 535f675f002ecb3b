"""Fetch the photographs of datasets/photographs.tsv, which anyone may have, and halve them to train on.

    python -m scripts.photographs

Each lies in a public git repository, many in its history only: of a partial clone just these files are fetched, and
each is compared with its hash, which is git's. Halving averages out JPEG's blocks and a camera's demosaicing, so that
what is left is sharp at the pixel. `train` and `valid` then hold PNG files; those whose hash begins with 0 are held
out. Run again, it goes on where it stopped.
"""

import argparse
import csv
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from tqdm import tqdm

from srgan.common.errors import ImageError, UserError, command, describe, warn
from srgan.common.files import remove_leftovers, writing
from srgan.common.images import read_rgb, write_image

TABLE = Path(__file__).parents[1] / "datasets" / "photographs.tsv"
GITHUB = "https://github.com"
BATCH = 16  # photographs of one request, some 50 MB
# Never ask for a password, as a server does for a repository that is gone; give up a connection that stalls.
OPTIONS = ("credential.helper=", "core.askPass=", "http.lowSpeedLimit=1000", "http.lowSpeedTime=60")


class Photograph(NamedTuple):
    """A row of the table."""

    repository: str  # OWNER/NAME
    blob: str  # git's hash of the file
    name: str
    quality: int  # of the JPEG
    psnr: float  # of bicubic x4, once halved [dB]: lower with more detail

    def file(self, out: Path) -> Path:
        """Where it goes, prepared; one in sixteen is held out for validation."""
        return out / ("valid" if self.blob.startswith("0") else "train") / f"{self.blob[:12]}.png"


class GitError(Exception):
    """What git says, in one line."""


def read_table(path: Path = TABLE) -> list[Photograph]:
    """The photographs of a table: columns with these names, separated by tabs.

    Raises:
        UserError: it can't be read, or is no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                Photograph(
                    row["repository"],
                    bytes.fromhex(row["blob"]).hex(),
                    row["name"],
                    int(row["jpeg_quality"] or 100),
                    float(row["bicubic_x4_psnr_halved"]),
                )
                for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            ]
    except OSError as error:
        raise UserError(f"{path}: expected a table of photographs: {describe(error)}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: expected a table like datasets/photographs.tsv: {describe(error)}") from error


def select(photographs: Sequence[Photograph], max_bicubic: float = 30, min_quality: int = 80) -> list[Photograph]:
    """Those with detail, and with little of JPEG in them."""
    return [each for each in photographs if each.psnr < max_bicubic and each.quality >= min_quality]


def fetch(photographs: Sequence[Photograph], out: Path, url: str = GITHUB) -> int:
    """Fetch and prepare the photographs that aren't there yet; what can't be had is named, and the rest is done.

    Args:
        out: the folder that gets `train` and `valid`.
        url: what stands before OWNER/NAME in the repositories' addresses.

    Returns:
        The number of photographs that are missing.

    Raises:
        UserError: git isn't installed, or `out` can't be written.
    """
    if not shutil.which("git"):
        raise UserError("expected git, found none: install it (git-scm.com)")
    for folder in (out / "train", out / "valid"):
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
    repositories = defaultdict(list)
    for photograph in photographs:
        if not photograph.file(out).exists():
            repositories[photograph.repository].append(photograph)
    missing = 0
    with tqdm(total=sum(map(len, repositories.values())), unit="photograph", disable=not repositories or None) as bar:
        for repository, wanted in repositories.items():
            bar.set_description(repository)
            if problems := _fetch_from(f"{url.rstrip('/')}/{repository}", wanted, out, bar):
                warn(f"{repository}: {len(problems)} of {len(wanted)} photographs can't be had: {problems[0]}")
            missing += len(problems)
    return missing


def _fetch_from(url: str, photographs: Sequence[Photograph], out: Path, bar: tqdm) -> list[str]:
    """Prepare the photographs of a repository. Returns why one can't be had, for each that can't."""
    clone = out / f".{'+'.join(url.split('/')[-2:])}.git"
    problems: list[str] = []
    try:
        _clone(url, clone)
        for start in range(0, len(photographs), BATCH):
            batch = photographs[start : start + BATCH]
            _request(clone, [photograph.blob for photograph in batch])
            for photograph in batch:
                problems.append(_take(clone, photograph, out))
                bar.update()
    except GitError as error:
        problems += [str(error)] * (len(photographs) - len(problems))
    finally:
        shutil.rmtree(clone, ignore_errors=True)
    return [problem for problem in problems if problem]


def _take(clone: Path, photograph: Photograph, out: Path) -> str:
    """Prepare a photograph that has been fetched. Returns why it can't be had, or nothing."""
    try:
        _prepare(_read(clone, photograph.blob), photograph.file(out), Path(photograph.name).suffix)
    except (GitError, ImageError) as error:
        return f"{photograph.name}: {error}"
    return ""


def _clone(url: str, folder: Path) -> None:
    """A partial clone: commits and lists of files, but no files. Raises: GitError, as `_request`."""
    shutil.rmtree(folder, ignore_errors=True)
    _git("clone", "--quiet", "--bare", "--filter=blob:none", url, str(folder))


def _request(clone: Path, blobs: Sequence[str]) -> None:
    """Fetch files by their hashes in one request, as git itself does for a checkout of a partial clone.

    Raises:
        GitError: the repository can't be reached.
    """
    options = ("--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--filter=blob:none", "--stdin")
    try:
        _git(
            "-C",
            str(clone),
            "-c",
            "fetch.negotiationAlgorithm=noop",
            "fetch",
            *options,
            "origin",
            text="\n".join(blobs),
        )
    except GitError as error:
        # One file that is gone spoils the request; `_read` then asks for each alone.
        if "not our ref" not in str(error):
            raise


def _read(clone: Path, blob: str) -> bytes:
    content = _git("-C", str(clone), "cat-file", "blob", blob)
    found = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if found != blob:
        raise GitError(f"expected a file of the hash {blob}, found {found}")
    return content


def _prepare(content: bytes, target: Path, suffix: str) -> None:
    """Write the photograph in a file of these bytes at half its size."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"photograph{suffix}"
        path.write_bytes(content)
        try:
            image = Image.fromarray(read_rgb(path))
        except ImageError as error:
            raise ImageError(str(error).removeprefix(f"{path}: ")) from error
    write_image(target, image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS))


def _git(*arguments: str, text: str = "") -> bytes:
    """What a git command prints, given a text on its standard input. Raises: GitError."""
    options = [word for option in OPTIONS for word in ("-c", option)]
    done = subprocess.run(
        ["git", *options, *arguments],
        input=text.encode(),
        capture_output=True,
        env=os.environ | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").splitlines()
        said = [line for line in lines if line.startswith(("fatal: ", "error: "))]
        raise GitError((said or [f"git ended with {done.returncode}"])[0][:200])
    return done.stdout


@command
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("datasets/photographs"), help="(default: %(default)s)")
    parser.add_argument("--table", type=Path, default=TABLE, help="the list, with the columns of the default one")
    parser.add_argument("--url", default=GITHUB, help="where the repositories are (default: %(default)s)")
    parser.add_argument("--max-bicubic", type=float, default=30, help="PSNR of bicubic x4, lower with more detail [dB]")
    parser.add_argument("--min-quality", type=int, default=80, help="of the JPEG files")
    args = parser.parse_args()
    photographs = select(read_table(args.table), args.max_bicubic, args.min_quality)
    if not photographs:
        raise UserError(
            f"{args.table}: no photograph has --max-bicubic {args.max_bicubic} and --min-quality {args.min_quality}"
        )
    missing = fetch(photographs, args.out, args.url)
    print(f"{args.out}: {len(photographs) - missing} of {len(photographs)} photographs")
    return 1 if missing else 0


if __name__ == "__main__":
    main()
