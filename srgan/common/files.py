"""Atomic writing: a file under its final name is always whole."""

import os
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from srgan.common.errors import UserError, describe


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError while writing (no space, no permission) into an error that names the file.

    Raises:
        UserError: instead of the OSError.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: can't be written: {describe(error)}") from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed to it when the block succeeds; the folder is created.

    Raises:
        UserError: the file can't be written; `path` is as it was.
    """
    # Libraries choose the format by the suffix, so it stays. The rest is short, since `path` may have the longest name
    # that the file system allows.
    part = path.with_name(f".{uuid.uuid4().hex[:12]}.part{path.suffix}")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def walk(folder: Path) -> Iterator[Path]:
    """A folder and its subfolders, sorted, without hidden ones. Links are followed, but no folder is visited twice.

    Raises:
        UserError: a folder can't be read.
    """

    def fail(error: OSError) -> None:
        raise UserError(f"{error.filename}: expected a folder: {describe(error)}") from error

    seen = set(folder.resolve().parents)
    for root, names, _ in os.walk(folder, onerror=fail, followlinks=True):
        real = Path(root).resolve()
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield Path(root)


def keep_sources(targets: Iterable[Path], sources: Iterable[Path]) -> None:
    """Refuse to overwrite inputs, whatever they are called.

    Args:
        targets: files to be written, or folders to be moved as a whole.

    Raises:
        UserError: one of them is a source, contains one, or can't be examined.
    """
    sources = list(sources)
    folders = {folder for source in sources for folder in source.resolve().parents}
    read = {_identity(path): path for path in (*folders, *sources) if path.exists()}
    for target in targets:
        with writing(target):
            if target.exists() and (source := read.get(_identity(target))):
                raise UserError(f"{target}: expected a place for results, found {source}, an input: choose another")


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def remove_leftovers(folder: Path, seconds: float = 0) -> None:
    """Delete the temporary files of killed processes: those not modified for this many seconds."""
    for part in folder.glob(f".{'[0-9a-f]' * 12}.part*"):
        # One that has vanished was renamed by a live process.
        with suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime >= seconds:
                part.unlink()


def sync(path: Path) -> None:
    """Flush a file's bytes, or a folder's entries, to the disk."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
