"""HR and LR images are told apart by sizes and pixels and paired by names; what is ambiguous is refused."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srgan.common.errors import UserError
from srgan.common.images import write_image
from srgan.data import reductions
from srgan.data.crops import CropDataset
from srgan.data.degrade import BICUBIC, Blur
from srgan.data.fingerprint import LISTED, fingerprint, fingerprint_changes
from srgan.data.layouts import PairFolders
from srgan.data.pairs import find_pairs, with_degradation
from srgan.data.resize import imresize
from srgan.training.config import PretrainConfig, load_config
from srgan.training.loader import load_photographs
from srgan.training.parsing import to_dict


def images(folder: Path, *names: str, over: int = 1, height: int = 64) -> Path:
    """Pictures of large spots, 96 pixels wide, with names such as `HR/12`: the number says which, `over` divides it."""
    for name in names:
        rng = np.random.default_rng(int(re.search(r"\d\d+", Path(name).name)[0]))
        spots = imresize(rng.integers(256, size=(height // 8, 12, 3), dtype=np.uint8), 8)
        write_image(folder / f"{name}.png", imresize(spots, 1 / over) if over > 1 else spots)
    return folder


def found(folder: Path | PairFolders, root: Path, scale: int = 4, training: bool = False) -> list[str]:
    """`hr <- lr` of each pair, without suffixes, below `root`."""
    pairs = find_pairs(folder, scale, training)
    shown = [[str(path.relative_to(root).with_suffix("")) for path in (pair.hr, pair.lr) if path] for pair in pairs]
    return [" <- ".join(pair) for pair in shown]


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        ("HR/{}", "LR/{}"),
        ("{}", "lr/{}"),
        ("GT/{}", "LQ/{}"),
        ("HR/{}", "LR_bicubic/X4/{}x4"),
        ("HR/{}", "LR/bicubic/X4/{}"),
        ("DIV2K_HR/{}", "DIV2K_LR_mild/{}x4m"),
        ("DIV2K_HR/{}", "DIV2K_LR_unknown/X4/{}x4"),
        ("GTmod12/{}", "LRbicx4/{}"),
        ("high_res/{}", "low_res/{}"),
        ("target/{}", "Input/{}"),
        ("sharp/{}", "small/{}_bicLRx4"),
        ("HR/{}_HR", "LR/{}_LR"),
        ("gt/{}_gt", "lq/{}_lq"),
        ("big/sharp-{}", "small/soft-{}"),
        ("{}_HR", "{}_LR"),
        ("{}", "{}-small"),
        ("Canon_{}_HR", "Canon_{}_LR4"),
        ("hr_{}", "lr_{}"),
        ("{} original", "{} reduced"),
        ("image_SRF_4/{}_SRF_4_HR", "image_SRF_4/{}_SRF_4_LR"),
    ],
)
def test_layouts_of_pairs(tmp_path: Path, hr: str, lr: str) -> None:
    """LR images are never taken for HR images: neither of the root, nor of the HR folder, for training or not."""
    root = images(tmp_path / "set", *(hr.format(number) for number in range(10, 18)))
    images(root, *(lr.format(number) for number in range(10, 18)), over=4)
    expected = [f"{hr.format(number)} <- {lr.format(number)}" for number in range(10, 18)]
    for folder in {root, (root / hr).parent}:
        assert found(folder, root) == expected
        assert found(folder, root, training=True) == expected
    if "/" not in hr + lr:
        assert found(root / "*.png", root) == expected


@pytest.mark.parametrize(("hr", "lr"), [("GT", "LQ"), ("sharp", "sharp_bicubic/X4")])
def test_pairs_in_subfolders(tmp_path: Path, hr: str, lr: str) -> None:
    """As of films, whose frames have the same names in each clip; each pair gets a name of its own."""
    clips = {"calendar": 64, "foliage": 128}
    for clip, height in clips.items():
        images(tmp_path, f"{hr}/{clip}/01", f"{hr}/{clip}/02", height=height)
        images(tmp_path, f"{lr}/{clip}/01", f"{lr}/{clip}/02", height=height, over=4)
    expected = [f"{hr}/{clip}/0{i} <- {lr}/{clip}/0{i}" for clip in clips for i in (1, 2)]
    for folder in (tmp_path, tmp_path / hr, PairFolders(str(tmp_path / hr), str(tmp_path / lr))):
        assert found(folder, tmp_path, training=True) == expected
        assert found(folder, tmp_path) == expected
    assert [pair.name for pair in find_pairs(tmp_path, 4)][::3] == ["calendar-01", "foliage-02"]


def test_lr_images_of_several_scales(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the scale are taken, in one folder and in several; without any LR is made, with a warning."""
    one, several = images(tmp_path / "one", "10_HR", "11_HR"), images(tmp_path / "several", "HR/10", "HR/11")
    for factor in (2, 4):
        images(one, f"10_LR{factor}", f"11_LR{factor}", over=factor)
        images(several, *(f"LR_bicubic/X{factor}/{i}x{factor}" for i in (10, 11)), over=factor)
    for scale in (2, 4):
        assert found(one, one, scale) == [f"{i}_HR <- {i}_LR{scale}" for i in (10, 11)]
        for folder in (several, several / "HR"):
            assert found(folder, several, scale) == [f"HR/{i} <- LR_bicubic/X{scale}/{i}x{scale}" for i in (10, 11)]
    assert not capsys.readouterr().err
    assert found(one, one, scale=8) == ["10_HR", "11_HR"]
    assert re.search(r"4 LR images of others are left out, such as .*10_LR2", capsys.readouterr().err)
    assert found(several / "HR", several, scale=8) == ["HR/10", "HR/11"]
    assert re.search(r"X2: images of the same names .* 1/2 of the size, are not used", capsys.readouterr().err)


def test_several_lr_images_of_one_hr_image_are_pairs(tmp_path: Path) -> None:
    """As in DIV2K_train_LR_wild."""
    root = images(images(tmp_path, "HR/0801"), "LR_wild/0801x4w1", "LR_wild/0801x4w2", over=4)
    assert found(root / "HR", root) == ["HR/0801 <- LR_wild/0801x4w1", "HR/0801 <- LR_wild/0801x4w2"]
    assert [pair.name for pair in find_pairs(root, 4)] == ["0801x4w1", "0801x4w2"]


def test_flat_lr_images_are_taken_by_their_names(tmp_path: Path) -> None:
    for name in ("DIV2K_valid_LR_unknown/X4/0801x4", "DIV2K_valid_LR_unknown/X4/0802x4"):
        write_image(tmp_path / f"{name}.png", np.zeros((16, 24, 3), np.uint8))
    images(tmp_path, "DIV2K_valid_HR/0801", "DIV2K_valid_HR/0802")
    for folder in (tmp_path, tmp_path / "DIV2K_valid_HR"):
        assert [pair.lr.name for pair in find_pairs(folder, 4)] == ["0801x4.png", "0802x4.png"]


@pytest.mark.parametrize(("hr", "lr"), [("set", "set"), ("set/HR", "set/LR")])
def test_names_that_tell_nothing(tmp_path: Path, hr: str, lr: str) -> None:
    """In one folder, as numbers that go on, or scrambled: pixels tell."""
    expected = []
    for number in range(10, 22):
        for folder, over, name in ((hr, 1, f"{7 * number % 13}a"), (lr, 4, f"{11 * number % 13}b")):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            (images(tmp_path, f"{number}", over=over) / f"{number}.png").rename(tmp_path / folder / f"{name}.png")
        expected.append(f"{hr}/{7 * number % 13}a <- {lr}/{11 * number % 13}b")
    assert found(tmp_path / hr, tmp_path) == sorted(expected)
    assert found(tmp_path / "set", tmp_path) == sorted(expected)


@pytest.mark.parametrize("folder", ["", "sharp"])
def test_other_pictures_of_the_same_names_are_named(
    tmp_path: Path, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in (10, 11):
        write_image(
            tmp_path / "root" / "small" / f"{i}.png",
            np.random.default_rng(i).integers(256, size=(16, 24), dtype=np.uint8),
        )
    images(tmp_path / "root", "sharp/10", "sharp/11")
    assert {"sharp/10", "sharp/11"} <= {*found(tmp_path / "root" / folder, tmp_path / "root")}
    assert re.search(r"warning: .*small: .*\{hr: \.\.\., lr: \.\.\.\}", capsys.readouterr().err)


@pytest.mark.parametrize(("hr", "lr"), [("HR/val", "LR/val"), ("HR/Set5", "LR_bic/Set5/X4"), ("HR/Set5", "LR/X4/Set5")])
def test_lr_images_apart_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], hr: str, lr: str) -> None:
    """They may be those of another dataset, so they aren't taken; nor are they HR images without a word."""
    images(tmp_path / hr, "10", "11", "12")
    images(tmp_path / lr, "10", "11", "12", over=4)
    assert found(tmp_path / hr, tmp_path) == [f"{hr}/10", f"{hr}/11", f"{hr}/12"]
    assert (
        f"{lr}: images of the same names as in {tmp_path / hr}, at 1/4 of the size, are not" in capsys.readouterr().err
    )


def test_hr_images_inside_the_folder_of_lr_images(tmp_path: Path) -> None:
    images(tmp_path / "HR", "10", "11", "12")
    images(tmp_path, "10", "11", "12", over=4)
    assert found(tmp_path / "HR", tmp_path) == ["HR/10 <- 10", "HR/11 <- 11", "HR/12 <- 12"]
    with pytest.raises(UserError, match=r"LR images, by their size and looks; the HR images are in .*HR"):
        found(tmp_path, tmp_path)


def test_lr_images_as_hr_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images(tmp_path / "HR", "10", "11", "12")
    for folder in (images(tmp_path / "HR/LR", "10", "11", "12", over=4), images(tmp_path / "LR", "10x4", over=4)):
        with pytest.raises(
            UserError, match=rf"{folder}: LR images, by their size and looks; the HR images are in .*HR"
        ):
            found(folder, tmp_path)
    found(images(tmp_path / "LR/X4", "10x4", over=4), tmp_path)
    assert f"X4: taken as HR images, though they are those in {tmp_path / 'HR'} at 1/4" in capsys.readouterr().err


def test_root_of_div2k_gives_the_wanted_split(tmp_path: Path) -> None:
    root = images(tmp_path, "DIV2K_train_HR/0001", "DIV2K_valid_HR/0801")
    images(root, "DIV2K_train_LR_bicubic/X4/0001x4", over=4)
    assert found(root, root, training=True) == ["DIV2K_train_HR/0001 <- DIV2K_train_LR_bicubic/X4/0001x4"]
    assert found(root, root) == ["DIV2K_valid_HR/0801"]


def test_plain_folders_stay_plain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Photographs of other sizes, smaller ones of other pictures, flat images, frames, a split's name in another."""
    root = images(tmp_path / "root", "11", "10_LR", "box12")
    images(root, "deep/13", "deep/trainer/15", "valley/16", height=128)
    images(root, "icons/27", "icons/28", "29_thumbnail", over=4)
    for name, side in (("white", 64), ("black", 16), ("dot", 1)):
        write_image(root / f"{name}.png", np.full((side, side), side, np.uint8))
    expected = ["10_LR", "11", "29_thumbnail", "black", "box12", "dot", "white"]
    assert found(root, root) == expected
    nested = ["deep/13", "deep/trainer/15", "icons/27", "icons/28", "valley/16"]
    assert found(root, root, training=True) == sorted([*expected, *nested])
    assert found(root / "deep", root) == ["deep/13"]
    assert not capsys.readouterr().err


def test_few_reduced_copies_among_photographs_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = images(images(tmp_path / "root", *map(str, range(10, 20))), "12_web", over=4)
    assert found(root, root) == [str(number) for number in range(10, 20)]
    assert re.search("1 LR images of others are left out, such as .*12_web.png, 12.png at 1/4", capsys.readouterr().err)


def test_large_folders_are_not_decoded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes come from headers; what three pairs of a folder have confirmed is believed of the others."""
    root = images(tmp_path / "root", *(f"HR/{number}" for number in range(10, 60)))
    images(root, *(f"LR/{number}x4" for number in range(10, 60)), over=4)
    decoded = []
    read = reductions.read_rgb
    monkeypatch.setattr(reductions, "read_rgb", lambda path: decoded.append(path) or read(path))
    for folder, most in ((root, 6), (root / "HR", 6)):
        decoded.clear()
        assert len(found(folder, root)) == 50
        assert len(decoded) <= most
    decoded.clear()
    images(root / "other" / "plain", *(f"{number}" for number in range(10, 60)))
    assert len(found(root / "other" / "plain", root)) == 50
    assert not decoded


def test_two_folders_by_name(tmp_path: Path) -> None:
    """By the relative name or one that begins with the HR image's, whatever the pixels are."""
    names = {"10": "10_bicLRx4", "100": "100x4m", "b/11_HR": "X4/B/11", "c/12": "c/12-LR"}
    root = images(images(tmp_path, *(f"sharp/{name}" for name in names)), *(f"small/{name}" for name in names.values()))
    images(root, "small/X2/b/11", over=2)
    for name in names.values():
        write_image(root / f"small/{name}.png", np.zeros((16, 24, 3), np.uint8))
    folders = PairFolders(str(root / "sharp"), str(root / "small"))
    assert found(folders, root) == [f"sharp/{hr} <- small/{lr}" for hr, lr in names.items()]
    images(root, "sharp/11")
    with pytest.raises(UserError, match=r"1 HR images without LR: .*sharp.11\.png"):
        found(folders, root)


@pytest.mark.parametrize(("hr", "lr"), [("", "LR"), ("HR", "")])
def test_two_folders_one_in_the_other(tmp_path: Path, hr: str, lr: str) -> None:
    images(tmp_path / hr, "10", "11")
    images(tmp_path / lr, "10x4", "11x4", over=4)
    pairs = find_pairs(PairFolders(str(tmp_path / hr), str(tmp_path / lr)), 4)
    assert [(pair.hr.name, pair.lr.name) for pair in pairs] == [("10.png", "10x4.png"), ("11.png", "11x4.png")]


def test_linked_folders_count_once(tmp_path: Path) -> None:
    root = images(tmp_path / "photos", "10", "deep/11")
    images(tmp_path, "disk/12", "disk/deeper/13")
    (root / "a").symlink_to(tmp_path / "disk")
    (root / "again").symlink_to(tmp_path / "disk")
    (root / "up").symlink_to(tmp_path)
    assert found(root, root, training=True) == ["10", "a/12", "a/deeper/13", "deep/11"]


AMBIGUOUS = {
    "LR images named": (
        ["HR/10"],
        ["LR/10"],
        "LR",
        r"LR: LR images, by their size and looks; the HR images are in .*HR",
    ),
    "no training split": (["X_valid_HR/10"], [], "", "X_valid_HR: none of them for training; name one of them"),
    "two LR folders": (["HR/10"], ["LR/10", "soft/10"], "HR", r"LR, .*soft: ambiguous; name both"),
    "two LR folders in one": (["HR/10"], ["LR/10", "soft/10"], "", r"HR/10.png: LR images .*ambiguous; name both"),
    "LR of the same size": (
        ["10_HR", "10_LR4", "11_HR", "11_LR4"],
        [],
        "",
        "LR images, by their names, but not those of",
    ),
    "SR beside HR": (
        ["HR/10", "SR/10"],
        ["LR/10"],
        "",
        "SR: LR images, by their names, but not those of the HR images",
    ),
    "LR inside": (["10"], ["LR/11"], "", "LR: LR images, by their names, but not those of the HR images"),
    "HR, LR and others": (["10_HR", "11_HR", "12"], ["10_LR", "11_LR"], "", r"1 HR images without LR: .*12\.png"),
    "a missing LR image": (["HR/10", "HR/11"], ["LR/10"], "", r"1 HR images without LR: .*HR.11\.png"),
    "a missing HR image": (
        ["HR/10", "HR/11"],
        ["LR/10", "LR/11", "LR/12"],
        "HR",
        r"1 LR images without HR: .*LR.12\.png",
    ),
}


@pytest.mark.parametrize(("hr", "lr", "folder", "message"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_ambiguous_folders_are_refused(tmp_path: Path, hr: list[str], lr: list[str], folder: str, message: str) -> None:
    root = images(images(tmp_path / "root", *hr), *lr, over=4)
    with pytest.raises(UserError, match=message):
        find_pairs(root / folder, 4, training=True)


def test_configs_name_pairs_as_folders(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: x\ndata: {folders: [photos, {hr: a, lr: b}]}\n")
    config = load_config(PretrainConfig, path, ["validation.folders={hr: c, lr: d}"])
    assert config.data.folders == ("photos", PairFolders("a", "b"))
    assert config.validation.folders == (PairFolders("c", "d"),)
    assert to_dict(config)["data"]["folders"] == ["photos", {"hr": "a", "lr": "b"}]
    for mistake, message in {
        "{hr: a}": r"data\.folders(\[0\])?\.lr: missing",
        "{hr: a, lr: ''}": r"data\.folders(\[0\])?\.lr: expected a folder, found nothing",
        "{hr: a, lq: b}": r"data\.folders(\[0\])?\.lq: unknown key; did you mean data",
        "[5]": r"data\.folders(\[0\])?: expected text, found 5",
        '"a\\0b"': r"data\.folders: expected text without null characters",
    }.items():
        with pytest.raises(UserError, match=message):
            load_config(PretrainConfig, path, [f"data.folders={mistake}"])


def test_lr_files_that_a_degradation_replaces_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = images(images(tmp_path, "sharp/10"), "small/10", over=4)
    folders = PairFolders(str(root / "sharp"), str(root / "small"))
    for degradation, count in ((BICUBIC, 0), (Blur(), 1)):
        with_degradation(find_pairs(folders, 4), degradation)
        assert capsys.readouterr().err.count("1 LR files are not used") == count


# Held-out images


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i in range(4):
        noise = np.random.default_rng(i).integers(256, size=(32, 32, 3), dtype=np.uint8)
        write_image(tmp_path / "photos" / f"{i}.png", noise)
    return tmp_path / "photos"


def crops(folder: Path, **options: Any) -> CropDataset:
    return CropDataset([folder], crop=32, cache=folder.parent / "cache", **options)


def test_training_on_validation_images_is_refused(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By path and by content, whatever the name, before anything is decoded; `allow` makes it a warning."""
    (photos.parent / "held out").mkdir()
    copy = photos.parent / "held out" / "copy.png"
    copy.write_bytes((photos / "2.png").read_bytes())
    for held_out in (copy, photos / "2.png"):
        with pytest.raises(UserError, match=r"1 training images are also used for validation: .*2\.png; remove"):
            crops(photos, held_out=[held_out])
    assert not (photos.parent / "cache").exists()
    assert len(crops(photos, held_out=[copy], allow_held_out=True)) == 4
    assert "warning: 1 training images are also used" in capsys.readouterr().err
    copy.write_bytes(copy.read_bytes() + b"\0")
    assert len(crops(photos, held_out=[copy])) == 4


def test_config_of_a_run_that_validates_on_its_training_images(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"name: x\ndata: {{folders: '{photos}', cache: '{tmp_path / 'cache'}', crop: 32}}\n")
    with pytest.raises(UserError, match=r"data: 1 training images .* data\.allow_validation_images=true"):
        load_photographs(load_config(PretrainConfig, path), [photos / "0.png"])
    config = load_config(PretrainConfig, path, ["data.allow_validation_images=true"])
    assert len(load_photographs(config, [photos / "0.png"])) == 4


# Fingerprints


def test_fingerprint_tells_what_has_changed(photos: Path) -> None:
    before = crops(photos).fingerprint
    assert before.count == 4
    assert before.images[0] == f"photos/0.png (32 x 32, {(photos / '0.png').stat().st_size} bytes)"
    assert fingerprint_changes(before, crops(photos).fingerprint) == ""
    write_image(photos / "new.png", np.zeros((40, 32, 3), np.uint8))
    (photos / "1.png").unlink()
    (photos / "3.png").rename(photos / "4.png")
    changes = fingerprint_changes(before, crops(photos).fingerprint)
    assert changes.startswith("added 2 (photos/4.png (32 x 32, ")
    assert "removed 2 (photos/1.png (32 x 32, " in changes


def test_fingerprint_of_a_changed_image(photos: Path) -> None:
    before = crops(photos).fingerprint
    write_image(photos / "1.png", np.zeros((32, 32, 3), np.uint8))
    assert fingerprint_changes(before, crops(photos).fingerprint).startswith("added 1 (photos/1.png")


def test_fingerprint_depends_on_order_and_stays_small() -> None:
    assert "another order" in fingerprint_changes(fingerprint(["a", "b"]), fingerprint(["b", "a"]))
    many = [str(i) for i in range(LISTED + 1)]
    assert fingerprint(many).images == ()
    assert fingerprint_changes(fingerprint(many), fingerprint([*many, "x"])) == (
        f"{LISTED + 1} images before, {LISTED + 2} now, not all of them the same"
    )
