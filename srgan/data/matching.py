"""Which LR image belongs to which HR image: in one folder, in neighbouring folders, or in two that are given."""

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from srgan.common.errors import UserError, warn
from srgan.common.images import list_images
from srgan.data.layouts import LR_FOLDER, folders_apart, folders_beside, listed, siblings
from srgan.data.reductions import ALIKE, Originals, Pixels, image_name, names_at_start

NAME_THEM = "name both folders, {hr: ..., lr: ...}"
SAMPLE = 3  # images by which a folder is judged before all sizes are read

Matches = dict[Path, Path]  # the HR file of each LR file


def match_among(images: Sequence[Path], scale: int, pixels: Pixels) -> tuple[list[Path], Matches]:
    """The HR images among these, and the LR images of this scale; LR images of other scales are left out.

    Raises:
        UserError: most images of a folder have partners and some have none, or a folder's name says LR but its images
            belong to no HR images.
    """
    found = Originals(images, pixels).reductions(images)
    hr = _without(images, found)
    matches = {lr: reduction.hr for lr, reduction in found.items() if reduction.factor == scale}
    originals = {reduction.hr for reduction in found.values()}
    strays = set()
    for inside in _by_folder(images).values():
        reduced = [image for image in inside if image in found]
        paired = set(matches.values()).intersection(inside)
        alone = _without(inside, {*found, *(paired or originals)})
        if not _complete("HR", "LR", paired, alone) if paired else not _complete("LR", "HR", reduced, alone):
            strays |= {lr for lr, hr in matches.items() if hr in paired or lr in reduced}
    matches = {lr: hr for lr, hr in matches.items() if lr not in strays}
    unused = sorted(strays if matches else found)
    if unused:
        original, factor = found[unused[0]]
        warn(
            f"{len(unused)} LR images of others are left out, such as {unused[0]}, {original.name} at 1/{factor} of "
            f"its size; LR images of scale {scale} are made from the HR images"
        )
    _check_unambiguous(matches)
    _check_unpaired(hr, _without(hr, originals), bool(matches), pixels)
    return hr, matches


def match_beside(folder: Path, hr: Sequence[Path], scale: int, pixels: Pixels) -> Matches:
    """The LR images of this scale in a folder near the HR images (`LR`, `LR_bicubic/X4`), or none.

    A warning names folders nearby that are not used although they have images of the same names.

    Raises:
        UserError: there are several such folders, or some images have no partner, or the images are themselves LR
            versions of those in a folder nearby.
    """
    inner = sorted({image.parent.relative_to(folder) for image in hr})
    originals = Originals(hr, pixels)
    candidates, unused = {}, {}
    for other in folders_beside(folder):
        images = _without(_images_in(other, inner), hr)
        if scale in (factors := _factors(hr, images, pixels)):
            raise UserError(f"{folder}: LR images, by their size and looks; the HR images are in {other}")
        _warn_if_reduced(folder, other, factors)
        named = _named_after(images, hr)
        found = originals.reductions(_some([*named] or images))
        if found:
            found = originals.reductions(images)
        matches = {lr: reduction.hr for lr, reduction in found.items() if reduction.factor == scale}
        paired = {*matches.values()}
        if (
            paired
            and _complete("LR", "HR", matches, _without(images, found))
            and _complete("HR", "LR", paired, _without(hr, paired))
        ):
            candidates[other] = matches
        elif found or (images and len({*named.values()}) >= len(hr) / 2 and _may_be_lr(named, pixels)):
            unused[other] = {reduction.factor for reduction in found.values()}
    if len(candidates) > 1:
        raise UserError(f"{folder}: LR images in {listed([*candidates])}: ambiguous; {NAME_THEM}")
    if candidates:
        unused = {other: factors for other, factors in unused.items() if not factors or scale in factors}
    else:
        for other in folders_apart(folder):
            if factors := _factors(_images_in(other, inner), hr, pixels):
                unused[other] = factors
        for other in siblings(folder.absolute().parent):  # such as HR of LR/X4
            _warn_if_reduced(folder, other, _factors(hr, _images_in(other, inner), pixels))
    for other, factors in unused.items():
        _warn_unused(other, folder, factors)
    return next(iter(candidates.values()), {})


def match_folders(hr: Sequence[Path], lr: Sequence[Path], roots: tuple[Path, Path], scale: int) -> Matches:
    """The LR images of this scale by relative names, else by the beginnings of names, else by looks.

    Args:
        roots: the folders of HR and of LR images to which the names are relative.

    Raises:
        UserError: images have no partner (the message lists them), or two have one name.
    """
    by_name: dict[tuple, Path] = {}
    for image in hr:
        key = _folders(image, roots[0]), image_name(image).lower()
        if key in by_name:
            raise UserError(f"{by_name[key]} and {image}: two images of one name")
        by_name[key] = image
    matches = {}
    for image in lr:
        folders = _folders(image, roots[1])
        # LR images may lie deeper, as in X4.
        keys = ((folders[i:], name) for name in names_at_start(image) for i in range(len(folders) + 1))
        if match := next((by_name[key] for key in keys if key in by_name), None):
            matches[image] = match
    pixels = Pixels(scale)
    if rest := _without(hr, matches.values()):
        found = Originals(rest, pixels).reductions(_without(lr, matches))
        matches |= {image: reduction.hr for image, reduction in found.items() if reduction.factor == scale}
    _refuse_alone(_without(hr, matches.values()), _without(lr, matches))
    matches = _of_scale(matches, scale, pixels)
    _check_unambiguous(matches)
    return matches


def _of_scale(matches: Matches, scale: int, pixels: Pixels) -> Matches:
    """Where an HR image has several LR images, those of the scale's size, if any."""
    sizes = pixels.sizes([*matches, *matches.values()])
    reduced = {image: tuple(side // scale for side in size) for image, size in sizes.items()}
    fitting = {lr: hr for lr, hr in matches.items() if lr in sizes and sizes[lr] == reduced.get(hr)}
    fitted = {*fitting.values()}
    return fitting | {lr: hr for lr, hr in matches.items() if hr not in fitted}


def _images_in(folder: Path, inner: Iterable[Path]) -> list[Path]:
    """The images of this folder's inner folders, as far as they exist."""
    images = []
    for path in inner:
        with suppress(UserError):
            images += list_images(folder / path)
    return images


def _warn_unused(folder: Path, hr_folder: Path, factors: Collection[int]) -> None:
    sizes = f", at 1/{' and 1/'.join(map(str, sorted(factors)))} of the size," if factors else ""
    warn(
        f"{folder}: images of the same names as in {hr_folder}{sizes} are not used; if they are LR images, {NAME_THEM}"
    )


def _check_unambiguous(matches: Matches) -> None:
    """Refuse LR images of one HR image in two folders, or with one name. Several degradations in one are fine."""
    of_hr = defaultdict(list)
    for lr, hr in matches.items():
        of_hr[hr].append(lr)
    for hr, images in of_hr.items():
        if len({lr.parent for lr in images}) > 1 or len({lr.stem for lr in images}) < len(images):
            raise UserError(f"{hr}: LR images {listed(images)}: ambiguous; {NAME_THEM}")


def _complete(kind: str, partner: str, paired: Collection[Path], alone: Sequence[Path]) -> bool:
    """Whether every image has a partner; False if most have none: then it isn't a dataset of pairs.

    Raises:
        UserError: a few have none.
    """
    if len(alone) < len(paired) + (kind == "HR"):
        _refuse_alone(*((alone, []) if kind == "HR" else ([], alone)))
    return not alone


def _refuse_alone(hr: Sequence[Path], lr: Sequence[Path]) -> None:
    problems = [
        f"{len(alone)} {kind} images without {partner}: {listed(alone)}"
        for kind, partner, alone in (("HR", "LR", hr), ("LR", "HR", lr))
        if alone
    ]
    if problems:
        raise UserError("; ".join(problems))


def _check_unpaired(hr: Sequence[Path], unpaired: Sequence[Path], paired: bool, pixels: Pixels) -> None:
    """Refuse, or warn about, unpaired HR images whose names, but not sizes and looks, suggest that they are LR.

    Args:
        paired: whether some of the others have LR images.
    """
    root = Path(os.path.commonpath([image.parent for image in hr]))
    suspects, doubtful = [], []
    for folder, inside in _by_folder(unpaired).items():
        named_hr = {image_name(image).lower() for image in inside if image_name(image) != image.stem}
        beside = [image for image in inside if image_name(image) == image.stem]
        named = _named_after(inside, hr)
        if any(map(LR_FOLDER.fullmatch, folder.relative_to(root).parts)) or (
            # Such as a_HR and a_LR of one size.
            named_hr and beside and all(not named_hr.isdisjoint(names_at_start(image)) for image in beside)
        ):
            suspects.append(folder)
        elif len(named) > len(inside) / 2 and _may_be_lr(named, pixels):
            doubtful.append(folder)
    if suspects or (doubtful and paired):
        raise UserError(
            f"{listed(suspects or doubtful, 5)}: LR images, by their names, but not those of the HR images, by size "
            f"and looks: name the folders of HR images or, for pairs, {{hr: ..., lr: ...}}"
        )
    if doubtful:
        warn(
            f"{listed(doubtful, 5)}: taken as HR images, though they have the names of others; if they are LR images, "
            f"{NAME_THEM}"
        )


def _factors(images: Sequence[Path], originals: Sequence[Path], pixels: Pixels) -> set[int]:
    """The factors by which images, named after originals in another folder, are reduced, judging by a sample."""
    named = _named_after(images, originals)
    sample = _some([*named])
    found = Originals([named[image] for image in sample], pixels).reductions(sample)
    return {reduction.factor for reduction in found.values()}


def _warn_if_reduced(folder: Path, other: Path, factors: Collection[int]) -> None:
    if factors:
        warn(f"{folder}: taken as HR images, though they are those in {other} at 1/{max(factors)} of the size")


def _named_after(images: Iterable[Path], originals: Iterable[Path]) -> dict[Path, Path]:
    """The images whose names are, or begin with, the name of an original in another folder, and that original."""
    by_name = defaultdict(list)
    for original in originals:
        by_name[image_name(original).lower()].append(original)
    named = {}
    for image in images:
        found = (o for name in names_at_start(image) for o in by_name.get(name, ()) if o.parent != image.parent)
        if match := next(found, None):
            named[image] = match
    return named


def _may_be_lr(named: Matches, pixels: Pixels) -> bool:
    """Whether images with the names of others may be meant as LR images: they are smaller, or the same pictures."""
    for lr in _some([*named]):
        small, large = (pixels.sizes([image]).get(image, (0, 0)) for image in (lr, named[lr]))
        smaller = small != large and all(a <= b for a, b in zip(small, large, strict=True))
        if not (smaller or (small == large and (pixels.likeness(lr, named[lr]) or 0) > ALIKE)):
            return False
    return True


def _some(images: Sequence[Path]) -> Sequence[Path]:
    return images[:: max(1, len(images) // SAMPLE)][:SAMPLE]


def _folders(image: Path, root: Path) -> tuple[str, ...]:
    """The folders between the root and the image, in lower case."""
    return tuple(map(str.lower, image.parent.relative_to(root).parts))


def _without(images: Iterable[Path], others: Iterable[Path]) -> list[Path]:
    others = {*others}
    return [image for image in images if image not in others]


def _by_folder(images: Iterable[Path]) -> dict[Path, list[Path]]:
    folders = defaultdict(list)
    for image in images:
        folders[image.parent].append(image)
    return folders
