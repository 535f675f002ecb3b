"""Photographs out of git repositories, which the tests make in a local folder."""

import csv
import hashlib
import io
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from scripts import photographs
from scripts.photographs import Photograph, fetch, read_table, select
from srgan.common.errors import UserError
from srgan.common.images import read_rgb


def blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def jpeg(held_out: bool, number: int) -> bytes:
    """A part of a photograph, another one for each number, whose hash begins with 0 or doesn't."""
    for quality in range(95, 60, -1):
        buffer = io.BytesIO()
        Image.fromarray(data.astronaut()[number : number + 41, 200:264]).save(buffer, "JPEG", quality=quality)
        if blob(buffer.getvalue()).startswith("0") == held_out:
            return buffer.getvalue()
    raise AssertionError("another number has one")


FILES = {
    "a/lake.jpg": jpeg(False, 10),
    "b/wall.JPG": jpeg(True, 20),
    "a/gone in the newest commit.jpg": jpeg(False, 30),
}


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A folder of repositories, one of which has a file in its history only; both serve parts, as GitHub does."""
    for repository in ("someone/walls", "other/walls"):
        folder = tmp_path / "served" / repository
        for name, content in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content + repository.encode() * (repository == "other/walls"))
        git(folder, "init", "--quiet")
        git(folder, "config", "uploadpack.allowFilter", "true")
        git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", "all")
        git(folder, "rm", "--quiet", "a/gone in the newest commit.jpg")
        git(folder, "commit", "--quiet", "--message", "one less")
    return tmp_path / "served"


def listed(repository: str = "someone/walls", files: dict[str, bytes] = FILES) -> list[Photograph]:
    return [Photograph(repository, blob(content), Path(name).name, 95, 20.0) for name, content in files.items()]


def test_photographs_are_fetched_halved_and_divided(served: Path, tmp_path: Path) -> None:
    assert fetch(listed(), tmp_path / "out", f"file://{served}/") == 0
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    lake, wall, gone = (blob(content)[:12] for content in FILES.values())
    assert found == {f"train/{lake}.png", f"valid/{wall}.png", f"train/{gone}.png"}
    with Image.open(io.BytesIO(FILES["a/lake.jpg"])) as image:
        half = np.asarray(image.resize((32, 20), Image.Resampling.LANCZOS))
    assert np.array_equal(read_rgb(tmp_path / "out" / "train" / f"{lake}.png"), half)


def test_only_what_is_wanted_is_fetched(served: Path, tmp_path: Path) -> None:
    """A partial clone has no files, and a request brings those that it names."""
    clone, (lake, wall, gone) = tmp_path / "clone", (photograph.blob for photograph in listed())
    photographs._clone(f"file://{served}/someone/walls", clone)

    def missing() -> set[str]:
        objects = photographs._git("-C", str(clone), "rev-list", "--objects", "--all", "--missing=print").decode()
        return {line[1:] for line in objects.splitlines() if line.startswith("?")}

    assert missing() == {lake, wall, gone}
    photographs._request(clone, [wall, gone])
    assert missing() == {lake}


def test_run_again_asks_for_nothing(served: Path, tmp_path: Path) -> None:
    assert fetch(listed(), tmp_path / "out", f"file://{served}") == 0
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")}
    shutil.rmtree(served)
    assert fetch(listed(), tmp_path / "out", f"file://{served}") == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")} == written


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_interrupted_run_goes_on(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    taken = []

    def take(clone: Path, photograph: Photograph, out: Path) -> str:
        if len(taken) == after:
            raise KeyboardInterrupt
        taken.append(photograph)
        return original(clone, photograph, out)

    original = photographs._take
    monkeypatch.setattr(photographs, "_take", take)
    with pytest.raises(KeyboardInterrupt):
        fetch(listed(), tmp_path / "out", f"file://{served}")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["train", "valid"], "no clone is left"
    assert len([*(tmp_path / "out").rglob("*.png")]) == after
    monkeypatch.setattr(photographs, "_take", original)
    assert fetch(listed(), tmp_path / "out", f"file://{served}") == 0
    assert len([*(tmp_path / "out").rglob("*.png")]) == 3


def test_what_is_gone_is_named_and_the_rest_is_done(
    served: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A repository, a file of another, and a file that is no image."""
    text = b"no image"
    (served / "someone/walls/text.jpg").write_bytes(text)
    git(served / "someone/walls", "add", "--all")
    git(served / "someone/walls", "commit", "--quiet", "--message", "text")
    wanted = [*listed("gone/walls"), *listed(files={**FILES, "text.jpg": text, "lost.jpg": b"never committed"})]
    assert fetch(wanted, tmp_path / "out", f"file://{served}") == 5
    first, second = capsys.readouterr().err.splitlines()[-2:]
    assert first.startswith("warning: gone/walls: 3 of 3 photographs can't be had: fatal: ")
    assert second.startswith("warning: someone/walls: 2 of 5 photographs can't be had: text.jpg: ")
    assert len([*(tmp_path / "out").rglob("*.png")]) == 3


def test_a_file_of_another_hash_is_refused(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    git_here = photographs._git
    monkeypatch.setattr(photographs, "_git", lambda *a, **b: git_here(*a, **b) + b"!" * ("cat-file" in a))
    assert fetch(listed()[:1], tmp_path / "out", f"file://{served}") == 1
    assert f"lake.jpg: expected a file of the hash {listed()[0].blob}, found " in capsys.readouterr().err
    assert not [*(tmp_path / "out").rglob("*.png")]


def write_table(path: Path, rows: list[Photograph]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["repository", "blob", "name", "jpeg_quality", "bicubic_x4_psnr_halved", "licence"])
        writer.writerows([*row, "CC0"] for row in rows)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.photographs", *map(str, arguments)], capture_output=True, text=True
    )


def test_the_command(served: Path, tmp_path: Path) -> None:
    """0 if all is there, 1 if something is missing; those without detail, or of strong JPEG, aren't asked for."""
    table, out = tmp_path / "table.tsv", tmp_path / "out"
    lake, wall, gone = listed()
    write_table(table, [lake, wall._replace(psnr=35.0), gone._replace(quality=70)])
    done = run("--table", table, "--out", out, "--url", f"file://{served}")
    assert (done.returncode, done.stdout) == (0, f"{out}: 1 of 1 photographs\n")
    done = run("--table", table, "--out", out, "--url", f"file://{served}", "--max-bicubic", 40, "--min-quality", 60)
    assert (done.returncode, done.stdout) == (0, f"{out}: 3 of 3 photographs\n")
    write_table(table, [*listed(), *listed("gone/walls", {"x.jpg": b"x"})])
    done = run("--table", table, "--out", out, "--url", f"file://{served}")
    assert (done.returncode, done.stdout) == (1, f"{out}: 3 of 4 photographs\n")
    assert "Traceback" not in done.stderr


def test_mistakes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "table.tsv"
    with pytest.raises(UserError, match=r"table\.tsv: expected a table of photographs: No such file"):
        read_table(table)
    for text in ("repository\tblob\na/b\tff\n", "repository\tblob\tname\tjpeg_quality\na\tzz\tc\t9\n"):
        table.write_text(text)
        with pytest.raises(UserError, match=r"table\.tsv: expected a table like datasets/photographs\.tsv"):
            read_table(table)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="can't be written"):
        fetch(listed(), tmp_path / "file")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="expected git, found none"):
        fetch(listed(), tmp_path / "out")


def test_the_list() -> None:
    """848 photographs of ten repositories, each once and with a licence; 386 are taken, 27 of them held out."""
    with photographs.TABLE.open(encoding="utf-8", newline="") as file:
        licences = [row["licence"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    rows = read_table()
    assert len(rows) == len(licences) == len({row.blob[:12] for row in rows}) == 848
    assert all(licences)
    assert len({row.repository for row in rows}) == 10
    places = Counter(row.file(Path()).parent.name for row in select(rows))
    assert places == {"train": 359, "valid": 27}
