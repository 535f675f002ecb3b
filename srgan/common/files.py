"""Files that are whole whenever they stand under their name."""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from srgan.common.errors import UserError, describe


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file when the system refuses to write it: no space, no permission.

    Raises:
        UserError: instead of the OSError.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: can't be written: {describe(error)}") from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`, which is made; it becomes `path` once the block has ended well.

    Raises:
        UserError: it can't be written; `path` is as it was.
    """
    # The suffix stays, since it tells libraries the format; the rest is short, since `path` may have the longest name.
    part = path.with_name(f".{uuid.uuid4().hex[:12]}.part{path.suffix}")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def remove_leftovers(folder: Path, seconds: float = 0) -> None:
    """Delete the temporary files of killed processes: those that nobody has written to for some time."""
    for part in folder.glob(".*.part*"):
        # One that is gone by now was renamed: its process lives.
        with suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime >= seconds:
                part.unlink()


def sync(path: Path) -> None:
    """Put a file's bytes, or a folder's names, on the disk for good."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
