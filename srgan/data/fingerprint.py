"""Identify the images of a dataset, for checkpoints and to find images that are held out for validation."""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Above this number only the digest is kept, so that checkpoints stay small.
LISTED = 10_000


@dataclass(frozen=True)
class Fingerprint:
    """What identifies a dataset: the number of images, a digest, and their descriptions, unless there are many."""

    count: int
    digest: str
    images: tuple[str, ...]


def fingerprint(images: Sequence[str]) -> Fingerprint:
    """The fingerprint of a dataset, from an ordered list of image descriptions, such as name and size."""
    digest = hashlib.blake2b("\n".join(images).encode(errors="surrogateescape"), digest_size=16).hexdigest()
    return Fingerprint(len(images), digest, tuple(images) if len(images) <= LISTED else ())


def fingerprint_changes(old: Fingerprint, new: Fingerprint) -> str:
    """One line on how two datasets differ, given their fingerprints; empty if they don't."""
    if old.digest == new.digest:
        return ""
    if not old.images or not new.images:
        return f"{old.count} images before, {new.count} now, not all of them the same"
    added, removed = (_listed(a, b) for a, b in ((new.images, old.images), (old.images, new.images)))
    changes = [f"{what} {images}" for what, images in (("added", added), ("removed", removed)) if images]
    return "; ".join(changes) or "the same images in another order or number"


def shared_images(training: Iterable[Path], held_out: Sequence[Path]) -> list[Path]:
    """The training images whose files are identical to a held-out one. Unreadable files are ignored."""
    sizes, digests, shared = set(), set(), []
    for path in held_out:
        with suppress(OSError):
            sizes.add(path.stat().st_size)
            digests.add(_digest(path))
    for path in dict.fromkeys(training):
        with suppress(OSError):
            if path.stat().st_size in sizes and _digest(path) in digests:
                shared.append(path)
    return shared


def _digest(path: Path) -> bytes:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()


def _listed(images: Sequence[str], others: Sequence[str]) -> str:
    """Number and first names of the images that are not among the others."""
    rest = set(others)
    alone = [image for image in images if image not in rest]
    return f"{len(alone)} ({', '.join(alone[:5])}{', ...' * (len(alone) > 5)})" if alone else ""
