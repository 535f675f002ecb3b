"""Which pictures go in, under which names they come out, and what becomes of bad ones."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from srgan.common.errors import UserError
from srgan.networks.generator import Generator
from srgan.upscaling.jobs import Job, Source, find_sources, plan, run
from srgan.upscaling.upscaler import Upscaler


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    torch.manual_seed(0)
    return Upscaler(Generator(blocks=1, channels=8))


def save(path: Path, size: tuple[int, int] = (12, 8), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 90).save(path)
    return path


def paths(names: list[object], recursive: bool = False) -> list[Path]:
    return [source.path for source in find_sources([str(name) for name in names], recursive)]


def targets(sources: list[Source], out: Path, **options: object) -> list[str]:
    return [job.target.relative_to(out).as_posix() for job in plan(sources, out, 4, **options)]


def test_files_folders_and_patterns(tmp_path: Path) -> None:
    a, b, c = save(tmp_path / "a.png"), save(tmp_path / "b.JPG"), save(tmp_path / "in" / "deep" / "c.png")
    (tmp_path / "notes.txt").touch()
    assert paths([tmp_path]) == [a, b]
    assert paths([tmp_path], recursive=True) == [a, b, c]
    assert paths([tmp_path / "*.png", a, tmp_path / "**" / "c.png"]) == [a, c]
    assert paths([a, tmp_path / "missing.png"]) == [a, tmp_path / "missing.png"]


def test_a_file_may_have_the_signs_of_a_pattern_in_its_name(tmp_path: Path) -> None:
    assert paths([save(tmp_path / "a[1].png"), save(tmp_path / "a1.png")]) == [
        tmp_path / "a[1].png",
        tmp_path / "a1.png",
    ]


def test_links_that_lead_back_end(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert paths([tmp_path], recursive=True) == [tmp_path / "a.png"]


@pytest.mark.parametrize("name", ["missing.png", "*.png", "empty"])
def test_no_input_at_all(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="found no image"):
        paths([tmp_path / name])


def test_names_of_results(tmp_path: Path) -> None:
    sources = [Source(tmp_path / name) for name in ("a.png", "a.jpg", "b.png", "ein Bild.png", "写真.v2.png", "B.gif")]
    assert targets(sources, tmp_path) == [
        "a.png_x4.png",
        "a.jpg_x4.png",
        "b.png_x4.png",
        "ein Bild_x4.png",
        "写真.v2_x4.png",
        "B.gif_x4.png",
    ]
    assert targets(sources[3:4], tmp_path, suffix=".webp") == ["ein Bild_x4.webp"]


def test_pictures_of_one_name_in_two_folders(tmp_path: Path) -> None:
    sources = [Source(tmp_path / "x" / "a.png"), Source(tmp_path / "y" / "a.png"), Source(tmp_path / "x" / "b.png")]
    assert targets(sources, tmp_path) == ["x/a.png_x4.png", "y/a.png_x4.png", "b_x4.png"]


def test_folders_are_kept_below_the_one_named(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "deep" / "a.png")
    assert targets(find_sources([str(tmp_path / "in")], recursive=True), tmp_path) == ["a_x4.png", "deep/a_x4.png"]


def test_results_among_the_sources_are_left_out(tmp_path: Path) -> None:
    for name in ("a.png", "a_x4.png", "a_x4_compare.png"):
        save(tmp_path / name)
    jobs = plan(find_sources([str(tmp_path)]), tmp_path, 4)
    assert jobs == [Job(tmp_path / "a.png", tmp_path / "a_x4.png")]


def test_out_may_be_a_file(tmp_path: Path) -> None:
    a, b = Source(save(tmp_path / "a.png")), Source(save(tmp_path / "b.png"))
    assert plan([a], tmp_path / "big.JPG", 4, ".jpg") == [Job(a.path, tmp_path / "big.JPG")]
    with pytest.raises(UserError, match="expected a folder for 2 pictures"):
        plan([a, b], tmp_path / "big.jpg", 4)
    with pytest.raises(UserError, match="two formats"):
        plan([a], tmp_path / "big.jpg", 4, ".png")
    with pytest.raises(UserError, match=r"ends in one of \.png \.jpg"):
        plan([a], tmp_path / "big.bmp", 4)
    with pytest.raises(UserError, match="is the picture itself"):
        plan([a], a.path, 4)
    (tmp_path / "folder.png").mkdir()
    assert plan([a], tmp_path / "folder.png", 4) == [Job(a.path, tmp_path / "folder.png" / "a_x4.png")]


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
    sources = find_sources([str(tmp_path), str(tmp_path / "missing.png")])
    assert run(upscaler, plan(sources, tmp_path / "out", 4), tmp_path / "out" / "compare.html") == 4
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
    jobs = plan(find_sources([str(tmp_path)]), out, 4)
    run(upscaler, jobs)
    old = out / "a_x4.png"
    os.utime(old, (1, 1))
    (out / "b_x4.png").unlink()
    assert run(upscaler, jobs, out / "compare.html", skip_existing=True) == 0
    assert old.stat().st_mtime == 1
    assert (out / "b_x4.png").exists()
    assert (out / "compare.html").read_text(encoding="utf-8").count("<figure") == 2


def test_an_animation_stays_one(tmp_path: Path, upscaler: Upscaler) -> None:
    frames = [Image.new("RGB", (10, 6), colour) for colour in ("red", "green", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[20, 40, 60], loop=0)
    assert run(upscaler, [Job(tmp_path / "a.gif", tmp_path / "a.webp")]) == 0
    with Image.open(tmp_path / "a.webp") as image:
        assert (image.n_frames, image.size) == (3, (40, 24))


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
    assert run(upscaler, [Job(tmp_path / "a.png", tmp_path / "file" / "a_x4.png")]) == 1


def test_long_names(tmp_path: Path, upscaler: Upscaler) -> None:
    path = tmp_path / ("n" * 240 + ".png")
    shutil.copy(save(tmp_path / "a.png"), path)
    assert run(upscaler, plan([Source(path)], tmp_path / "out", 4)) == 0
