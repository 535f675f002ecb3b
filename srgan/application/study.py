"""The study: the pictures on the rating page or on sheets, and the key that says which picture is whose."""

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from srgan.application.answers import read_key
from srgan.common.errors import UserError, warn
from srgan.common.files import whole_file
from srgan.common.images import write_image

PAGE = Path(__file__).with_name("rating.html")
LARGE_PAGE = 200e6
GAP = 12  # pixels between the two pictures of a sheet


def build_study(
    versions: dict[tuple[str, str, str], str],
    methods: Sequence[str],
    preference: bool,
    repeats: int | None,
    calibration: list[list[str]],
) -> tuple[dict, dict]:
    """What the page contains (see rating.html), and the key that says which picture is whose.

    Args:
        versions: lossless WebP in base64 by (method, benchmark, image).
    """
    content = [preference, repeats, sorted(versions.items()), calibration]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    # Neither the names of the pictures nor their order reveals the methods.
    names = {version: hashlib.sha256(f"{digest}{version}".encode()).hexdigest()[:12] for version in versions}
    trials = [[name] for name in names.values()]
    if preference:
        images = dict.fromkeys((benchmark, image) for _, benchmark, image in versions)
        couples = list(combinations(methods, 2))
        trials = [sorted(names[m, b, image] for m in couple) for b, image in images for couple in couples]
    if repeats is None:
        repeats = len(trials) // 10
    if repeats > len(trials) // 3:
        raise UserError(f"--repeats: expected at most a third of the {len(trials)} pictures, found {repeats}")
    study = {
        "id": digest[:8],
        "mode": "preference" if preference else "rating",
        "repeats": repeats,
        "trials": sorted(trials),
        "items": {names[version]: versions[version] for version in sorted(versions, key=lambda v: names[v])},
        "calibration": calibration,
    }
    key = {"study": study["id"], "mode": study["mode"], "items": {names[v]: list(v) for v in versions}}
    return study, key | ({"trials": study["trials"]} if preference else {})


def encoded(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image).convert("RGB").save(file, "WEBP", lossless=True)
    return base64.b64encode(file.getvalue()).decode()


def write_study(out: Path, study: dict, key: dict) -> None:
    """Write page and key, unless the folder has the key of another study, without which its answers are lost."""
    if (out / "key.json").exists() and read_key(out / "key.json")["study"] != key["study"]:
        raise UserError(f"{out / 'key.json'}: belongs to another test, whose answers need it; choose another --out")
    with whole_file(out / "key.json") as part:
        part.write_text(json.dumps(key, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8").replace("/*STUDY*/", json.dumps(study))
    if len(page) > LARGE_PAGE:
        warn(f"a page of {len(page) / 1e6:.0f} MB is too large for phones; --images reduces the number of pictures")
    with whole_file(out / "rating.html") as part:
        part.write_text(page, encoding="utf-8")


def write_sheets(out: Path, study: dict) -> None:
    """Write each pair as one picture, for viewers without a browser: `out/sheets/00.png`, ... in the key's order.

    Which picture is on the left is as good as chance, since the pictures' names are.
    """
    for number, trial in enumerate(study["trials"]):
        left, right = (_decoded(study["items"][item]) for item in trial)
        gap = np.full((len(left), GAP, 3), 255, np.uint8)
        write_image(out / "sheets" / f"{number:02d}.png", np.hstack([left, gap, right]))


def _decoded(version: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(version))).convert("RGB"))
