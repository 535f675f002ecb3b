"""Which pictures go in, and under which names they come out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from srgan.application.jobs import InputFile, Job, find_inputs, plan
from srgan.application.pictures import Picture, write_picture
from srgan.common.errors import UserError


def save(path: Path, size: tuple[int, int] = (12, 8), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 90).save(path)
    return path


def paths(names: list[object], recursive: bool = False) -> list[Path]:
    return [file.path for file in find_inputs([str(name) for name in names], recursive).files]


def targets(sources: list[InputFile], out: Path, **options: Any) -> list[str]:
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


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    """Links that lead back end, and so does a second link to the same folder."""
    a, b = save(tmp_path / "in" / "a.png"), save(tmp_path / "disk" / "deep" / "b.png")
    for name, target in {"loop": tmp_path / "in", "up": tmp_path, "link": b.parents[1], "link2": b.parents[1]}.items():
        (tmp_path / "in" / name).symlink_to(target)
    assert paths([tmp_path / "in"], recursive=True) == [a, tmp_path / "in" / "link" / "deep" / "b.png"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing.png", "no such file or folder"), ("*.png", "no such file or folder"), ("empty", "found no image")],
)
def test_no_input_at_all(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        paths([tmp_path / name])


def test_names_of_results(tmp_path: Path) -> None:
    sources = [
        InputFile(tmp_path / name) for name in ("a.png", "a.jpg", "b.png", "ein Bild.png", "写真.v2.png", "B.gif")
    ]
    assert targets(sources, tmp_path) == [
        "a.png_x4.png",
        "a.jpg_x4.png",
        "b.png_x4.png",
        "ein Bild_x4.png",
        "写真.v2_x4.png",
        "B.gif_x4.png",
    ]
    assert targets(sources[3:4], tmp_path, suffix=".webp") == ["ein Bild_x4.webp"]
    assert [job.target.name for job in plan(sources[3:4], tmp_path, 3.5)] == ["ein Bild_x3.5.png"]


def test_pictures_of_one_name_in_two_folders(tmp_path: Path) -> None:
    sources = [
        InputFile(tmp_path / "x" / "a.png"),
        InputFile(tmp_path / "y" / "a.png"),
        InputFile(tmp_path / "x" / "b.png"),
    ]
    assert targets(sources, tmp_path) == ["x/a.png_x4.png", "y/a.png_x4.png", "b_x4.png"]


def test_folders_are_kept_below_the_one_named(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "deep" / "a.png")
    assert targets(find_inputs([str(tmp_path / "in")], recursive=True).files, tmp_path) == ["a_x4.png", "deep/a_x4.png"]


def test_what_is_left_out_of_a_folder_is_counted(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "scan", "PNG")
    for name in ("a.pdf", "b.PDF", "c.NEF", "notes.txt", "Makefile", ".hidden"):
        (tmp_path / name).write_text("no picture")
    (tmp_path / "more").mkdir()
    inputs = find_inputs([str(tmp_path)])
    assert [file.path.name for file in inputs.files] == ["scan"]
    assert inputs.describe_left_out() == (
        "1 .nef (raw files have to be developed first), 2 .pdf (save their pages as images), 1 .txt, "
        "1 folder(s) (--recursive looks into them), 1 without extension"
    )
    (tmp_path / "scan").unlink()
    with pytest.raises(UserError, match=r"2 \.pdf .*1 folder"):
        find_inputs([str(tmp_path)])


def test_a_folder_under_two_names_counts_once(tmp_path: Path) -> None:
    a = save(tmp_path / "in" / "a.png")
    (tmp_path / "link").symlink_to("in")
    assert paths([tmp_path / "in", tmp_path / "link", a.parent / ".." / "in"]) == [a]


@pytest.mark.parametrize("out", [".", "sub/..", "../link"])
def test_results_among_the_sources_are_left_out(tmp_path: Path, out: str) -> None:
    folder = tmp_path / "in"
    a = save(folder / "a.png")
    (folder / "sub").mkdir()
    (tmp_path / "link").symlink_to("in")
    for name in ("a_x4.png", "a_x4_compare.png"):
        write_picture(folder / name, Picture([np.zeros((4, 4), np.uint8)]))
    assert plan(find_inputs([str(folder)]).files, folder / out, 4) == [Job(a, folder / out / "a_x4.png")]


def test_a_users_own_file_is_not_taken_for_a_result(tmp_path: Path) -> None:
    a, own = save(tmp_path / "a.png"), save(tmp_path / "a_x4.png")
    assert [job.source for job in plan(find_inputs([str(tmp_path)]).files, tmp_path, 4)] == [a, own]


def test_out_may_be_a_file(tmp_path: Path) -> None:
    a, b = InputFile(save(tmp_path / "a.png")), InputFile(save(tmp_path / "b.png"))
    assert plan([a], tmp_path / "big.JPG", 4, ".jpg") == [Job(a.path, tmp_path / "big.JPG")]
    with pytest.raises(UserError, match="expected a folder for 2 pictures"):
        plan([a, b], tmp_path / "big.jpg", 4)
    assert plan([a], tmp_path / "big.tif", 4, ".tiff") == [Job(a.path, tmp_path / "big.tif")]
    for name, suffix in (("big.jpg", ".png"), ("big.tif", ".gif")):
        with pytest.raises(UserError, match="two formats"):
            plan([a], tmp_path / name, 4, suffix)
    with pytest.raises(UserError, match=r"ends in one of \.png \.jpg"):
        plan([a], tmp_path / "big.bmp", 4)
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(".")
    for same in ("a.png", "sub/../a.png", "link/a.png"):
        with pytest.raises(UserError, match="is the picture itself"):
            plan([a], tmp_path / same, 4)
    (tmp_path / "folder.png").mkdir()
    assert plan([a], tmp_path / "folder.png", 4) == [Job(a.path, tmp_path / "folder.png" / "a_x4.png")]
