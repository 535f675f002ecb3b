"""Which photographs a dataset holds: what a checkpoint remembers of them, and which are held out for validation."""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

# Longer lists are known by their digest alone: a checkpoint should not grow with the dataset.
LISTED = 10_000


def fingerprint(images: Sequence[str]) -> dict[str, Any]:
    """What a checkpoint remembers of a dataset: a small dict of plain values.

    Args:
        images: what identifies each image, such as its name and size, in the dataset's order.
    """
    digest = hashlib.blake2b("\n".join(images).encode(errors="surrogateescape"), digest_size=16).hexdigest()
    return {"count": len(images), "digest": digest, "images": list(images) if len(images) <= LISTED else []}


def fingerprint_changes(old: dict[str, Any], new: dict[str, Any]) -> str:
    """How the dataset of `new` differs from that of `old`, in one line; empty if it doesn't."""
    if old["digest"] == new["digest"]:
        return ""
    if not old["images"] or not new["images"]:
        return f"{old['count']} images then, {new['count']} now, not all the same"
    added, removed = (_listed(a, b) for a, b in ((new["images"], old["images"]), (old["images"], new["images"])))
    changes = [f"{what} {images}" for what, images in (("added", added), ("removed", removed)) if images]
    return "; ".join(changes) or "the same images in another order, or another number of times"


def shared_images(training: Iterable[Path], held_out: Sequence[Path]) -> list[Path]:
    """The training images whose files hold the same bytes as one that is held out. Files that can't be read don't."""
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
    """The images that are not among the others: how many, and the first of them."""
    rest = set(others)
    alone = [image for image in images if image not in rest]
    return f"{len(alone)} ({', '.join(alone[:5])}{', ...' * (len(alone) > 5)})" if alone else ""
