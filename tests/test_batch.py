"""Batches of picture files: what is written, what is said, and what becomes of bad files."""

import os
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from srgan.application import batch
from srgan.application.jobs import InputFile, Job, find_inputs, plan
from srgan.common.errors import UserError
from srgan.data.resize import imresize
from srgan.networks.srresnet import SRResNet
from srgan.upscaling.upscaler import Upscaler


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    torch.manual_seed(0)
    return Upscaler(SRResNet(blocks=1, channels=8))


def frame_count(image: Any) -> int:
    return image.n_frames


def run(upscaler: Upscaler, jobs: list[Job], scale: int = 4, **options: Any) -> int:
    return batch.run(lambda _: upscaler, jobs, scale, **options)


def save(path: Path, size: tuple[int, int] = (12, 8), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 90).save(path)
    return path


def test_bad_files_are_reported_and_the_rest_is_done(
    tmp_path: Path, upscaler: Upscaler, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "a.png")
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "bad.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "bad.png").read_bytes()[:2000])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.gif").write_text("no picture")
    save(tmp_path / "z.png", mode="L")
    sources = find_inputs([str(tmp_path), str(tmp_path / "missing.png")]).files
    assert run(upscaler, plan(sources, tmp_path / "out", 4), page=tmp_path / "out" / "compare.html") == 4
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 4
    for name in ("bad.png", "empty.jpg", "text.gif", "missing.png"):
        assert sum(name in error for error in errors) == 1
    assert "2 of 6 upscaled x4, 0 skipped, 4 failed" in captured.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a_x4.png",
        "a_x4_compare.png",
        "compare.html",
        "z_x4.png",
        "z_x4_compare.png",
    ]
    assert Image.open(tmp_path / "out" / "z_x4.png").mode == "L"


def test_skip_existing_does_the_missing_ones(tmp_path: Path, upscaler: Upscaler) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / name)
    out = tmp_path / "out"
    jobs = plan(find_inputs([str(tmp_path)]).files, out, 4)
    run(upscaler, jobs)
    old = out / "a_x4.png"
    os.utime(old, (1, 1))
    (out / "b_x4.png").unlink()
    assert run(upscaler, jobs, page=out / "compare.html", skip_existing=True) == 0
    assert old.stat().st_mtime == 1
    assert (out / "b_x4.png").exists()
    assert (out / "compare.html").read_text(encoding="utf-8").count("<figure") == 2


def test_an_animation_stays_one(tmp_path: Path, upscaler: Upscaler) -> None:
    frames = [Image.new("RGB", (10, 6), colour) for colour in ("red", "green", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[20, 40, 60], loop=0)
    assert run(upscaler, [Job(tmp_path / "a.gif", tmp_path / "a.webp")]) == 0
    with Image.open(tmp_path / "a.webp") as image:
        assert (frame_count(image), image.size) == (3, (40, 24))


def test_16_bit_files_stay_16_bit(tmp_path: Path, upscaler: Upscaler) -> None:
    levels = np.random.default_rng(0).integers(20000, 40000, (8, 12)).astype(np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    assert run(upscaler, [Job(tmp_path / "a.png", tmp_path / "b.png")]) == 0
    values = np.asarray(Image.open(tmp_path / "b.png")).astype(int)
    assert values.shape == (32, 48)
    assert len(np.unique(values % 257)) > 100


def test_a_full_disk_or_a_folder_without_permission_is_one_line(tmp_path: Path, upscaler: Upscaler) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: can't be written"):
        run(upscaler, [Job(tmp_path / "a.png", tmp_path / "file" / "a_x4.png")])


def test_long_names(tmp_path: Path, upscaler: Upscaler) -> None:
    """255 bytes, as long as they may be, have no room for "_x4": the other files are done."""
    paths = [tmp_path / ("n" * length + ".png") for length in (251, 240)]
    for path in paths:
        shutil.copy(save(tmp_path / "a.png"), path)
    assert run(upscaler, plan([InputFile(path) for path in paths], tmp_path / "out", 4)) == 1
    assert [len(path.name) for path in (tmp_path / "out").iterdir()] == [240 + len("_x4.png")]


def test_only_results_are_overwritten(tmp_path: Path, upscaler: Upscaler, capsys: pytest.CaptureFixture[str]) -> None:
    a, own = save(tmp_path / "a.png"), save(tmp_path / "a_x4.png")
    before = own.read_bytes()
    jobs = plan(find_inputs([str(tmp_path)]).files, tmp_path, 4)
    assert run(upscaler, jobs) == 1
    assert own.read_bytes() == before
    assert "a_x4.png exists and is not a result of this program" in capsys.readouterr().err
    assert (tmp_path / "a_x4_x4.png").exists()
    own.unlink()
    for name in ("a_x4_compare.png", "compare.html"):
        (tmp_path / name).write_text("mine")
    job = Job(a, tmp_path / "a_x4.png")
    with pytest.raises(UserError, match=r"compare\.html exists and is not a result"):
        run(upscaler, [job], page=tmp_path / "compare.html")
    assert run(upscaler, [job], page=tmp_path / "page.html") == 1
    assert (tmp_path / "a_x4_compare.png").read_text() == "mine"
    (tmp_path / "a_x4_compare.png").unlink()
    for _ in range(2):
        assert run(upscaler, [job], page=tmp_path / "page.html") == 0
    for suffix in (".png", ".jpg", ".webp", ".tiff", ".gif"):
        job = Job(a, tmp_path / f"b{suffix}")
        assert run(upscaler, [job]) == run(upscaler, [job]) == 0, suffix


def test_nothing_is_announced_that_is_not_there(
    tmp_path: Path, upscaler: Upscaler, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    assert run(upscaler, [Job(tmp_path / "bad.png", tmp_path / "out" / "bad_x4.png")]) == 1
    assert "results" not in capsys.readouterr().out
    assert run(upscaler, [Job(save(tmp_path / "a.png"), tmp_path / "out" / "a_x4.png")]) == 0
    assert f"results: {tmp_path / 'out' / 'a_x4.png'}\n" in capsys.readouterr().out


# EXIF entries (tag, type, count, value or offset 38) that Pillow reads but can't write.
ODD_TAGS = {
    "Software": struct.pack("<HHII", 0x0131, 5, 1, 38),  # a fraction
    "XResolution": struct.pack("<HHI4s", 0x011A, 2, 4, b"low\0"),
    "YResolution": struct.pack("<HHIi", 0x011B, 9, 1, -3),
}


@pytest.mark.parametrize("tag", ODD_TAGS)
def test_an_odd_tag_is_dropped_with_a_warning(
    tmp_path: Path, upscaler: Upscaler, capsys: pytest.CaptureFixture[str], tag: str
) -> None:
    entries = sorted([ODD_TAGS[tag], struct.pack("<HHI4s", 0x013B, 2, 4, b"Ada\0")])
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + b"".join(entries) + struct.pack("<III", 0, 1, 2)
    Image.new("RGB", (16, 8), "red").save(tmp_path / "odd.jpg", exif=exif)
    assert run(upscaler, [Job(tmp_path / "odd.jpg", tmp_path / f"out.{kind}") for kind in ("png", "jpg", "tif")]) == 0
    assert f"odd.jpg: left out metadata that can't be written again: {tag}" in capsys.readouterr().err
    for kind in ("png", "jpg", "tif"):
        with Image.open(tmp_path / f"out.{kind}") as image:
            assert image.getexif()[0x013B] == "Ada"


def test_an_odd_resolution_is_dropped_with_a_warning(
    tmp_path: Path, upscaler: Upscaler, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (16, 8), "red").save(tmp_path / "odd.tif", dpi=(300, 300))
    # 300 / 1 becomes 300 / 0.
    content = (tmp_path / "odd.tif").read_bytes().replace(struct.pack("<II", 300, 1), struct.pack("<II", 300, 0))
    (tmp_path / "odd.tif").write_bytes(content)
    assert run(upscaler, [Job(tmp_path / "odd.tif", tmp_path / f"out.{kind}") for kind in ("png", "jpg", "tif")]) == 0
    assert "odd.tif: left out metadata that can't be written again: resolution" in capsys.readouterr().err


def test_frames_that_do_not_fit_into_memory_are_refused_first(
    tmp_path: Path, upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [Image.new("L", (20, 10), level) for level in (0, 120, 250)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    job = Job(tmp_path / "a.gif", tmp_path / "a.png")
    monkeypatch.setattr(batch, "MOST_FRAME_PIXELS", 3 * 80 * 40 - 1)
    assert run(upscaler, [job]) == 1
    assert "3 frames of 20 x 10 pixels would not fit into memory" in capsys.readouterr().err
    monkeypatch.setattr(batch, "MOST_FRAME_PIXELS", 3 * 80 * 40)
    assert run(upscaler, [job]) == 0
    assert "a.gif: 3 frames become an animated PNG" in capsys.readouterr().out


def test_a_result_too_wide_for_its_format_is_refused_before_the_work(
    tmp_path: Path, upscaler: Upscaler, capsys: pytest.CaptureFixture[str]
) -> None:
    job = Job(save(tmp_path / "a.png", (16384, 1)), tmp_path / "a.gif")
    assert run(upscaler, [job]) == 1
    assert "a.gif: .gif holds 65535 pixels per side, not 65536: use .png" in capsys.readouterr().err


def test_of_a_tiff_with_pages_the_first_is_taken_or_all(
    tmp_path: Path, upscaler: Upscaler, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = [Image.new("RGB", (12, 8), "red"), Image.new("L", (6, 10), 200)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert run(upscaler, [Job(tmp_path / "a.tif", tmp_path / "a.png")]) == 0
    assert "a.tif: used the first of 2 pages; --format tiff keeps all" in capsys.readouterr().err
    assert run(upscaler, [Job(tmp_path / "a.tif", tmp_path / "b.tif")]) == 0
    with Image.open(tmp_path / "b.tif") as image:
        assert (frame_count(image), image.mode, image.size) == (2, "RGB", (48, 32))
        image.seek(1)
        assert (image.mode, image.size) == ("L", (24, 40))
        image.load()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16"])
def test_outscale_reduces_the_result(tmp_path: Path, upscaler: Upscaler, mode: str) -> None:
    values = np.random.default_rng(0).integers(0, 256, (8, 12, 4), np.uint8)
    image = (
        Image.fromarray(values).convert(mode) if mode != "I;16" else Image.fromarray(values[..., 0] * np.uint16(257))
    )
    image.save(tmp_path / "a.png")
    assert run(upscaler, [Job(tmp_path / "a.png", tmp_path / "a_x2.png")], scale=2) == 0
    with Image.open(tmp_path / "a_x2.png") as result:
        assert (result.mode, result.size) == (mode, (24, 16))
        expected = imresize(upscaler.upscale(np.asarray(image)), 1 / 2)
        assert np.array_equal(np.asarray(result), expected)


def test_a_large_result_is_announced(
    tmp_path: Path, upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(batch, "LARGE_PIXELS", 48 * 32 - 1)
    assert run(upscaler, [Job(save(tmp_path / "a.png"), tmp_path / "b.png")]) == 0
    assert "a.png becomes 48 x 32 pixels, a file of about 0 MB (--outscale and" in capsys.readouterr().out


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_a_name_that_is_not_utf8(tmp_path: Path, upscaler: Upscaler, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    save(tmp_path / "a.png").rename(path)
    assert run(upscaler, plan([InputFile(path)], tmp_path / "out", 4), page=tmp_path / "compare.html") == 0
    assert "caf\\xe9" in (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "caf\\xe9_x4.png" in capsys.readouterr().out


def test_what_a_killed_process_left_is_removed(tmp_path: Path, upscaler: Upscaler) -> None:
    left, live, own = (tmp_path / name for name in (".0123456789ab.part.png", ".ba9876543210.part.png", ".a.part.png"))
    for path in (left, live, own):
        path.touch()
    for path in (left, own):
        os.utime(path, (1, 1))
    run(upscaler, [Job(save(tmp_path / "in" / "a.png"), tmp_path / "a.png")])
    assert sorted(path.name for path in tmp_path.glob(".*")) == [own.name, live.name]
