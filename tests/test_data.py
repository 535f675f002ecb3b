"""Crops: aligned, reproducible, out of a cache that is never wrong; photographs that can't be used are named."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import die_at_rename, exit_status, fork
from test_checkpoint import full_disk
from torch.utils.data import DataLoader

from srgan.common.errors import UserError
from srgan.common.images import write_image
from srgan.data import cache as cache_module
from srgan.data.cache import PairCache
from srgan.data.crops import DIV2K, CropDataset
from srgan.data.degrade import Bicubic, Blur
from srgan.data.pairs import ImagePair, find_pairs
from srgan.data.resize import imresize


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three noisy images of different sizes."""
    for i, size in enumerate([(40, 50), (37, 64), (81, 33)]):
        write_image(tmp_path / "photos" / f"{i}.png", noise(*size, seed=i))
    return tmp_path / "photos"


def dataset(folder: Path, **options: Any) -> CropDataset:
    return CropDataset([folder], **{"crop": 32, "cache": folder.parent / "cache", **options})


def cached(folder: Path) -> dict[str, int]:
    """The files of the cache and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in (folder.parent / "cache").iterdir()}


def test_crops_are_views_of_the_pairs(folder: Path) -> None:
    """Each HR crop, turned back, is found in its image, and the LR crop at a quarter of its place."""
    hrs = [noise(*size, seed=i) for i, size in enumerate([(40, 48), (36, 64), (80, 32)])]
    crops = dataset(folder)
    assert len(crops) == 3
    for lr_crop, hr_crop in (crops[i] for i in range(20)):
        assert (lr_crop.shape, lr_crop.dtype, hr_crop.shape) == ((8, 8, 3), torch.uint8, (32, 32, 3))
        assert any(_aligned(hr, hr_crop.numpy(), lr_crop.numpy()) for hr in map(_whole_part, range(len(hrs))))


def _whole_part(i: int) -> np.ndarray:
    height, width = [(40, 50), (37, 64), (81, 33)][i]
    return noise(height, width, seed=i)[: height // 4 * 4, : width // 4 * 4]


def _aligned(hr: np.ndarray, hr_crop: np.ndarray, lr_crop: np.ndarray) -> bool:
    lr = imresize(hr, 1 / 4)
    for flip in (False, True):
        for turns in range(4):
            back_hr, back_lr = (np.rot90(crop, -turns) for crop in (hr_crop, lr_crop))
            back_hr, back_lr = (crop[:, ::-1] if flip else crop for crop in (back_hr, back_lr))
            for y in range(0, hr.shape[0] - 31, 4):
                for x in range(0, hr.shape[1] - 31, 4):
                    if np.array_equal(hr[y : y + 32, x : x + 32], back_hr):
                        return np.array_equal(lr[y // 4 : y // 4 + 8, x // 4 : x // 4 + 8], back_lr)
    return False


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_crops_depend_on_seed_and_index_alone(folder: Path, workers: int) -> None:
    """The n-th crop is the same whatever the workers, and goes on beyond the number of images."""
    crops = dataset(folder, seed=5)
    loader = DataLoader(crops, batch_size=4, sampler=range(8, 32), num_workers=workers)
    hr = torch.cat([hr for _, hr in loader])
    assert torch.equal(hr, torch.stack([crops[i][1] for i in range(8, 32)]))
    assert not torch.equal(hr[0], hr[1])
    assert not torch.equal(crops[8][1], dataset(folder, seed=6)[8][1])


def test_every_image_and_every_turn_comes(folder: Path) -> None:
    crops = dataset(folder)
    seen = {crops[i][1].numpy().tobytes() for i in range(300)}
    assert len(seen) > 150, "3 images with 1 to 9 places of 8 orientations each"


def test_cache_is_used_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crops, files = dataset(folder), cached(folder)
    assert len(files) == 3
    monkeypatch.setattr(ImagePair, "read", lambda *_: pytest.fail("decoded again"))
    again = dataset(folder)
    assert cached(folder) == files
    assert torch.equal(again[7][1], crops[7][1])


def test_changed_image_is_decoded_anew(folder: Path) -> None:
    dataset(folder)
    files = cached(folder)
    write_image(folder / "1.png", noise(37, 64, seed=9))
    changed = dataset(folder)
    assert len(cached(folder).keys() - files.keys()) == 1
    assert np.array_equal(changed.pairs[1].open()[1], noise(37, 64, seed=9)[:36])
    os.utime(folder / "2.png", (1, 1))
    dataset(folder)
    assert len(cached(folder).keys() - files.keys()) == 2, "a new mtime is a new image"


def test_scale_and_blur_have_their_own_files(folder: Path) -> None:
    dataset(folder)
    dataset(folder, degradation=Blur(sigma=1.0))
    dataset(folder, scale=2)
    assert len(cached(folder)) == 9
    sharp, soft = (dataset(folder, degradation=kind)[0] for kind in (Bicubic(), Blur(sigma=1.0)))
    assert torch.equal(sharp[1], soft[1])
    assert not torch.equal(sharp[0], soft[0])


def test_cache_files_cut_short_are_made_anew(folder: Path) -> None:
    """A crash of the machine can leave them: the name is on the disk and the bytes are not."""
    crops = dataset(folder)
    expected = crops[3][1]
    for pair in crops.pairs:
        os.truncate(pair.path, 100)
    (folder.parent / "cache" / "notes.u8").write_text("not ours")
    assert torch.equal(dataset(folder)[3][1], expected)


def test_leftovers_are_cleaned_and_live_files_left(folder: Path) -> None:
    cache = folder.parent / "cache"
    cache.mkdir()
    for name, age in {".0123456789ab.part.u8": 3600, ".ba9876543210.part.u8": 0}.items():
        (cache / name).touch()
        os.utime(cache / name, (time.time() - age,) * 2)
    dataset(folder)
    assert ".0123456789ab.part.u8" not in cached(folder)
    assert ".ba9876543210.part.u8" in cached(folder)


def test_two_runs_build_one_cache_at_once(folder: Path) -> None:
    for i in range(3, 20):
        write_image(folder / f"{i}.png", noise(120, 120, seed=i))
    together = folder.parent / "go"

    def build() -> int:
        while not together.exists():
            time.sleep(0.001)
        return 0 if len(dataset(folder)) == 20 else 1

    children = [fork(build) for _ in range(2)]
    together.touch()
    assert [exit_status(child) for child in children] == [0, 0]
    assert len(cached(folder)) == 20
    pair = find_pairs(folder, 4)[10]
    decoded = PairCache(folder.parent / "cache", 4).build([pair], 32)[pair]
    assert np.array_equal(decoded.open()[1], noise(120, 120, seed=int(pair.name)))


# What can't be used


def test_bad_images_are_named_once_and_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (folder / "0.png").read_bytes()
    (folder / "a truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").touch()
    (folder / "dangling.png").symlink_to("nowhere")
    (folder / "folder.png").mkdir()
    write_image(folder / "small.png", noise(31, 200))
    write_image(folder / "1x5000.png", noise(5000, 1))
    (folder / "notes.txt").touch()
    crops = CropDataset([folder, folder], crop=32, cache=folder.parent / "cache")
    assert len(crops) == 6, "a folder that is listed twice counts twice"
    errors = capsys.readouterr().err
    for name in ("a truncated.png", "empty.jpg", "dangling.png"):
        assert errors.count(name) == 1, errors
    assert "4 images smaller than the crop of 32 pixels are left out" in errors
    with pytest.raises(UserError, match=r"(dangling|empty|truncated)"):
        dataset(folder, strict=True)


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    write_image(tmp_path / "photos" / "small.png", noise(31, 31))
    (tmp_path / "photos" / "empty.png").touch()
    with pytest.raises(
        UserError, match="no image is left of 2 to train on: 1 smaller than the crop of 32 pixels, 1 that can't be used"
    ):
        dataset(tmp_path / "photos")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such folder of images"),
        (lambda path: path.mkdir(), "no images in this folder"),
    ],
)
def test_missing_folders(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / "photos")
    with pytest.raises(UserError, match=message):
        dataset(tmp_path / "photos")


def test_subfolders_and_links_back(folder: Path) -> None:
    write_image(folder / "Ünter ordner [1]" / "deep.png", noise(40, 40))
    write_image(folder / ".hidden" / "x.png", noise(40, 40))
    (folder / "loop").symlink_to(folder)
    assert len(dataset(folder)) == 4
    assert len(dataset(folder / "Ünter ordner [1]")) == 1, "a folder with brackets in its name is no pattern"


def test_div2k_layout_takes_its_own_lr_images(tmp_path: Path) -> None:
    root = tmp_path / "DIV2K"
    hr, lr = root / "DIV2K_train_HR" / "0001.png", root / "DIV2K_train_LR_bicubic" / "X4" / "0001x4.png"
    write_image(hr, noise(40, 41))
    darker = imresize(noise(40, 41)[:, :40], 1 / 4) // 2
    write_image(lr, darker)
    crops = DIV2K(root, crop=32, cache=tmp_path / "cache")
    assert np.array_equal(crops.pairs[0].open()[0], darker)
    write_image(lr, np.pad(darker, ((0, 0), (0, 1), (0, 0)), "edge"))
    rounded = r"0001x4\.png: expected 10 x 10 pixels.*found 11 x 10 \(rounded up\): crop the HR images to multiples of"
    with pytest.raises(UserError, match=rounded):
        DIV2K(root, crop=32, cache=tmp_path / "cache", strict=True)
    with pytest.raises(UserError, match=r"no image is left of 1 to train on: .* 1 that can't be used, for the reasons"):
        DIV2K(root, crop=32, cache=tmp_path / "cache")


# The disk


def test_not_enough_disk_is_said_before_decoding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10_000}))
    with pytest.raises(UserError, match=r"the decoded images need .* GB are free; free some space, or set data\.cache"):
        dataset(folder)
    assert not cached(folder)


def test_disk_full_while_decoding(folder: Path) -> None:
    with full_disk(5000), pytest.raises(UserError, match=r"\.u8: can't be written: "):
        dataset(folder)
    assert not cached(folder), "nothing half-written, under any name"


def test_cache_that_cannot_be_used(folder: Path) -> None:
    (folder.parent / "cache").write_text("a file")
    with pytest.raises(UserError, match="the cache of decoded images can't be used: "):
        dataset(folder)


@pytest.mark.parametrize("workers", [0, 1])
def test_vanished_cache_is_named(folder: Path, workers: int) -> None:
    crops = dataset(folder)
    for pair in crops.pairs:
        pair.path.unlink()
    with pytest.raises(UserError, match=r"\.u8: the decoded image is gone: No such file or directory; run again"):
        next(iter(DataLoader(crops, num_workers=workers)))


@pytest.mark.parametrize("finished", [0, 2])
def test_killed_while_decoding(folder: Path, finished: int) -> None:
    """The next run finds what was finished, and does the rest."""

    def build() -> None:
        die_at_rename(finished + 1)
        dataset(folder)

    assert exit_status(fork(build)) == -signal.SIGKILL
    before = [name for name in cached(folder) if not name.startswith(".")]
    assert len(before) == finished
    assert len(dataset(folder)) == 3
    assert cached(folder).keys() >= set(before)
