"""HR and LR images are recognised by the usual names of folders and files; what is ambiguous is refused."""

from pathlib import Path

import numpy as np
import pytest

from srgan.common.errors import UserError
from srgan.common.images import write_image
from srgan.data.crops import CropDataset
from srgan.data.degrade import BICUBIC, Blur
from srgan.data.fingerprint import LISTED, fingerprint, fingerprint_changes
from srgan.data.layouts import PairFolders
from srgan.data.pairs import find_pairs, with_degradation
from srgan.training.config import PretrainConfig, load_config
from srgan.training.loader import load_photographs
from srgan.training.parsing import to_dict


def images(folder: Path, *names: str) -> Path:
    """Images of 8 x 8 pixels with names such as `HR/a`."""
    for name in names:
        write_image(folder / f"{name}.png", np.full((8, 8, 3), sum(name.encode()) % 251, np.uint8))
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
        ("hr/{}", "lr/{}"),
        ("GT/{}", "LQ/{}"),
        ("HR/{}", "LR_bicubic/X4/{}x4"),
        ("GTmod12/{}", "LRbicx4/{}"),
        ("my_HR/{}", "my_LR/{}"),
        ("Flickr2K_HR/{}", "Flickr2K_LR_bicubic/X4/{}x4"),
        ("HR/{}_HR", "LR/{}_LR"),
        ("gt/{}_gt", "lq/{}_lq"),
        ("{}_HR", "{}_LR"),
        ("{}-gt", "{}-lq"),
        ("{}_HR", "{}_LR_x4"),
        ("image_SRF_4/{}_SRF_4_HR", "image_SRF_4/{}_SRF_4_LR"),
    ],
)
def test_layouts_of_pairs(tmp_path: Path, hr: str, lr: str) -> None:
    """LR images are never taken for HR images: neither of the root, nor of the HR folder, for training or not."""
    root = images(tmp_path / "set", *(form.format(name) for form in (hr, lr) for name in "ab"))
    expected = [f"{hr.format(name)} <- {lr.format(name)}" for name in "ab"]
    for folder in {root, (root / hr).parent}:
        assert found(folder, root) == expected
        assert found(folder, root, training=True) == expected


def test_other_scales_are_left_alone(tmp_path: Path) -> None:
    """The LR images of another scale are not taken, nor missed: then LR is made."""
    root = images(tmp_path, "HR/a", "LR_bicubic/X2/ax2", "LR_bicubic/X3/ax3")
    assert found(root, root) == ["HR/a"]
    assert found(root, root, scale=2) == ["HR/a <- LR_bicubic/X2/ax2"]
    root = images(tmp_path / "b", "GTmod12/a", "LRbicx2/a", "LRbicx4/a")
    assert found(root, root, scale=4) == ["GTmod12/a <- LRbicx4/a"]


def test_root_of_div2k_gives_the_wanted_split(tmp_path: Path) -> None:
    root = images(tmp_path, "DIV2K_train_HR/0001", "DIV2K_valid_HR/0801", "DIV2K_train_LR_bicubic/X4/0001x4")
    assert found(root, root, training=True) == ["DIV2K_train_HR/0001 <- DIV2K_train_LR_bicubic/X4/0001x4"]
    assert found(root, root) == ["DIV2K_valid_HR/0801"]


def test_plain_folders_stay_plain(tmp_path: Path) -> None:
    root = images(tmp_path, "b", "a_LR", "box4", "deep/c")
    assert found(root, root) == ["a_LR", "b", "box4"]
    assert found(root, root, training=True) == ["a_LR", "b", "box4", "deep/c"]
    root = images(tmp_path / "cars", "911_GT/a", "beetle/b")
    assert found(root, root, training=True) == ["911_GT/a", "beetle/b"]


def test_two_folders_by_name(tmp_path: Path) -> None:
    root = images(tmp_path, "sharp/a", "small/ax4")
    folders = PairFolders(str(root / "sharp"), str(root / "small"))
    assert found(folders, root, training=True) == ["sharp/a <- small/ax4"]


AMBIGUOUS = {
    "LR images named": (["HR/a", "LR/a"], "LR", r"LR: LR images, by its name; the HR images are in .*HR"),
    "no training split": (["X_valid_HR/a"], "", "X_valid_HR: none of them for training; name one of them"),
    "two training splits": (
        ["A_train_HR/a", "B_train_HR/a"],
        "",
        r"A_train_HR, .*B_train_HR: ambiguous; name one of them",
    ),
    "two LR folders": (["HR/a", "LR/a", "LR_bicubic/a"], "HR", r"LR, .*LR_bicubic: ambiguous; name both"),
    "LR inside": (["a", "LR/a"], "", "LR: LR images, by its name, inside .* name the folders of HR images"),
    "a benchmark inside": (["a", "Set5/image_SRF_4/a_SRF_4_LR"], "", "image_SRF_4: LR images, by its name, inside"),
    "HR, LR and others": (["a_HR", "a_LR", "b"], "", r"besides \*_HR and \*_LR images there are others: .*b\.png"),
    "a missing partner": (["HR/a", "HR/b", "LR/a"], "", r"1 HR images without LR: .*b\.png"),
}


@pytest.mark.parametrize(("names", "folder", "message"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_ambiguous_folders_are_refused(tmp_path: Path, names: list[str], folder: str, message: str) -> None:
    root = images(tmp_path / "root", *names)
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
    root = images(tmp_path, "sharp/a", "small/a")
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


def crops(folder: Path, **options: object) -> CropDataset:
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
