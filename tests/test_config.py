"""Configs are strict: a mistake is one line that names the file, the key and what was expected."""

import dataclasses
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY

from srgan.common.errors import UserError
from srgan.training.commands import pretrain
from srgan.training.config import AdversarialConfig, PretrainConfig, changes, load_config, parse
from srgan.training.parsing import to_dict

NINE = ", ".join(["*{0}"] * 9)

MISTAKES = {
    # the file as a whole
    "empty file": ("", "expected `key: value` lines, found an empty file"),
    "comments only": ("# nothing\n", "found an empty file"),
    "list at top": ("- name: x\n", "expected `key: value` lines, found list"),
    "text": ("SRGAN\n", "expected `key: value` lines, found str"),
    "no YAML": ("name: [x\n", "not YAML: line 2: expected ',' or ']'"),
    "tab": ("name: x\ndata:\n\tcrop: 32\n", "line 3: found character"),
    "control character": ("name: \x01\n", "not YAML: unacceptable character"),
    "too deep": ("name: " + "[" * 5000, "not YAML"),
    "no such date": ("name: 2024-13-45\n", "not YAML: month must be in 1..12"),
    "endless integer": ("name: x\nruntime: {seed: " + "9" * 5000 + "}\n", "not YAML"),
    "endless hexadecimal integer": (
        "name: x\noptimizer: {batch: 0x" + "f" * 4300 + "}\n",
        "optimizer.batch: expected a number at least 1 and at most 65536, found a number of more digits",
    ),
    "endless hexadecimal rate": ("name: x\noptimizer: {lr: 0x" + "f" * 4300 + "}\n", "optimizer.lr: expected a number"),
    "aliases of aliases": (
        f"name: [&a [x, x], {', '.join(f'&{b} [{NINE.format(a)}]' for a, b in pairwise('abcdefghijkl'))}]\n",
        "name: expected text, found [['x', 'x'], [[",
    ),
    "null character": ('name: x\ndata: {cache: "a\\0b"}\n', "data.cache: expected text without null characters"),
    # keys
    "key twice": ("name: x\ndata:\n  crop: 32\n  crop: 48\n", "line 3: key crop is given twice"),
    "section twice": ("name: x\ndata: {}\ndata: {}\n", "line 2: key data is given twice"),
    "unhashable key": ("? [a]\n: 1\n", "unhashable"),
    "no name": ("data: {}\n", "name: missing"),
    "misspelt key": ("name: x\noptimizer: {leraning_rate: 1}\n", "did you mean optimizer.lr?"),
    "misspelt section": ("name: x\noptimiser: {}\n", "optimiser: unknown key; did you mean optimizer?"),
    "key without its section": ("name: x\nlr: 1e-4\n", "lr: unknown key; did you mean optimizer.lr?"),
    "key of another section": ("name: x\nlog: {crop: 32}\n", "log.crop: unknown key; did you mean data.crop?"),
    "key like nothing": ("name: x\nzzz: 1\n", "zzz: unknown key; expected one of name, init, frozen_batchnorm, data"),
    "number as a key": ("name: x\n1: 2\n", "1: unknown key"),
    # types
    "null section": ("name: x\ndata:\n", "data: expected a section of keys, found None"),
    "null value": ("name: x\noptimizer: {lr: }\n", "optimizer.lr: expected a number, found None"),
    "number as name": ("name: 123\n", "name: expected text, found 123"),
    "boolean as name": ("name: on\n", "name: expected text, found True"),
    "date as name": ("name: 2024-01-02\n", "name: expected text, found datetime.date"),
    "boolean as integer": ("name: x\ndata: {workers: yes}\n", "data.workers: expected a whole number, found True"),
    "boolean as number": ("name: x\noptimizer: {lr: yes}\n", "optimizer.lr: expected a number, found True"),
    "integer as boolean": ("name: x\ndata: {strict: 1}\n", "data.strict: expected true or false, found 1"),
    "fraction": ("name: x\ndata: {workers: 1.5}\n", "data.workers: expected a whole number, found 1.5"),
    "text as number": ("name: x\noptimizer: {lr: fast}\n", "optimizer.lr: expected a number, found 'fast'"),
    "null as list": ("name: x\ndata: {folders: }\n", "data.folders: expected a list such as [a, b], found None"),
    "section as list": (
        "name: x\noptimizer: {milestones: {a: 1}}\n",
        "optimizer.milestones: expected a list such as [a, b]",
    ),
    "number as list of paths": ("name: x\ndata: {folders: 5}\n", "data.folders: expected text, found 5"),
    "null in a list": ("name: x\ndata: {folders: [null]}\n", "data.folders[0]: expected text, found None"),
    "text of a number": (
        "name: x\ngenerator: {scale: '4'}\n",
        "expected one of 1, 2, 3, 4, 8, found '4'; did you mean 4",
    ),
    # ranges
    "not a number": ("name: x\noptimizer: {lr: .nan}\n", "optimizer.lr: expected a number above 0 and at most 10"),
    "infinite": ("name: x\noptimizer: {lr: .inf}\n", "found inf"),
    "infinite by size": ("name: x\noptimizer: {lr: 1e999}\n", "found inf"),
    "too large for a float": ("name: x\noptimizer: {lr: " + "9" * 400 + "}\n", "optimizer.lr: expected a number"),
    "infinitely many": ("name: x\noptimizer: {iterations: .inf}\n", "optimizer.iterations: expected a whole number"),
    "zero": ("name: x\noptimizer: {lr: 0}\n", "optimizer.lr: expected a number above 0"),
    "negative": ("name: x\ndata: {workers: -1}\n", "data.workers: expected a number at least 0"),
    "very large": (f"name: x\nruntime: {{seed: {2**70}}}\n", "runtime.seed: expected a number at least 0 and at most"),
    "scale": ("name: x\ngenerator: {scale: 5}\n", "generator.scale: expected one of 1, 2, 3, 4, 8, found 5"),
    "misspelt choice": ("name: x\noptimizer: {decay: cosin}\n", "found 'cosin'; did you mean cosine?"),
    "blocks": (
        "name: x\ngenerator: {blocks: 0}\n",
        "generator.blocks: expected a number at least 1 and at most 1024",
    ),
    "misspelt generator": ("name: x\ngenerator: {type: SRResnet}\n", "found 'SRResnet'; did you mean SRResNet?"),
    "loss": (
        "name: x\nloss: {content: vgg23}\n",
        "l1, perceptual or vgg11 to vgg54, found 'vgg23'",
    ),
    "crop and scale": ("name: x\ndata: {crop: 33}\n", "data.crop: expected a multiple of the scale (4), found 33"),
    "validation and log": ("name: x\nlog: {every: 7}\n", "validation.every: expected a multiple of log.every (7)"),
    "snapshots and validation": ("name: x\nlog: {keep: 7000}\n", "log.keep: expected a multiple of validation.every"),
    "falling milestones": (
        "name: x\noptimizer: {milestones: [5, 3]}\n",
        "optimizer.milestones: expected iterations",
    ),
    "no folders": ("name: x\ndata: {folders: []}\n", "data.folders: expected a path, found nothing"),
    "empty folder": ("name: x\nvalidation: {folders: ['']}\n", "validation.folders: expected a path, found nothing"),
    # names that are no folder's
    "path as name": ("name: a/b\n", "name: expected a plain folder name"),
    "parent as name": ("name: ..\n", "name: expected a plain folder name"),
    "empty name": ("name: ''\n", "name: expected a plain folder name"),
    "NUL in the name": ('name: "a\\0b"\n', "name: expected text without null characters"),
    # the other script's
    "statistics of nothing": ("name: x\nfrozen_batchnorm: true\n", "frozen_batchnorm: expected init, whose"),
    "train.py's loss": ("name: x\nloss: {adversarial_weight: 1}\n", "run train.py with this config"),
}


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        load_config(PretrainConfig, path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert expected in message
    assert len(message.splitlines()) == 1
    assert len(message) < len(str(path)) + 250


def test_a_key_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: x\ndata: {degradation: {name: photo, jpeg_quality: [90, 30]}}\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        load_config(PretrainConfig, path, ["runtime.seed=1"])
    expected = "data.degradation.jpeg_quality: expected [low, high] within 1 and 100, found [90, 30]"
    assert str(error.value) == f"{path} and the command line: {expected}"


OVERRIDES = {
    "x": "expected section.key=value",
    "=5": "expected section.key=value",
    "data=5": "data: expected a section of keys, found 5",
    "data.=1": "data.: unknown key",
    "data.crop.x=5": "data.crop: expected a whole number, found {'x': 5}",
    "name.x=3": "name is not a section",
    "optimizer.lr=": "optimizer.lr: expected a number, found ''",
    "optimizer.lr=[1": "the value is not YAML",
    "optimizer.lrr=1e-3": "optimizer.lrr: unknown key; did you mean optimizer.lr?",
    "data.degradation.sigma=2": "data.degradation.sigma: unknown key; it goes with another data.degradation.name",
    "data.degradation.per_crop=true": "data.degradation.per_crop: unknown key",  # a class variable
    "discriminator.norm=spectral": "discriminator: unknown key; it is one of train.py's",
    "generator={blocks: 1, blocks: 2}": "key blocks is given twice",
}


@pytest.mark.parametrize(("override", "expected"), OVERRIDES.items(), ids=OVERRIDES)
def test_mistakes_in_overrides(tmp_path: Path, override: str, expected: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: x\n")
    with pytest.raises(UserError) as error:
        load_config(PretrainConfig, path, [override])
    assert str(error.value).startswith(f"{path} and the command line: ")
    assert expected in str(error.value)


@pytest.mark.parametrize("content", ["name: x".encode("utf-16"), b"\xff\xfe\x00", b"\x89PNG\r\n\x1a\n\x00"])
def test_files_that_are_no_text(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"config\.yaml: not YAML"):
        load_config(PretrainConfig, path)


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a config: Is a directory"):
        load_config(PretrainConfig, tmp_path)
    with pytest.raises(UserError, match="expected a config: No such file"):
        load_config(PretrainConfig, tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("loss: {texture_weight: 1}", r"loss\.texture_weight: takes loss\.content vgg31 or a later layer, found mse"),
        ("loss: {texture_weight: 1, content: vgg22}", "texture_weight: .* found vgg22"),
        (
            "loss: {texture_weight: 1, content: vgg31}\ndata: {crop: 40}",
            r"data\.crop: .* multiple of the texture loss's window \(16\), found 40",
        ),
    ],
)
def test_what_the_texture_loss_asks_for(tmp_path: Path, keys: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"name: x\n{keys}\n", encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load_config(PretrainConfig, path)


def test_phase_windows_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: x\ninit: y\nloss: {phase_window: 40}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"data\.crop: expected a multiple of loss\.phase_window \(40\), found 96"):
        load_config(AdversarialConfig, path)


def test_spectra_of_crops_that_are_too_small(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: x\ninit: y\ndata: {crop: 16}\nloss: {spectrum_weight: 0.01}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"spectrum_weight: takes a data.crop of 32 or more, found 16"):
        load_config(AdversarialConfig, path)


def test_a_discriminators_own_arguments_and_crops() -> None:
    """Its constructor says which keys there are, its class which crops it takes."""
    tree = {"name": "x", "init": "y", "discriminator": {"type": "unet", "channels": 32}, "data": {"crop": 40}}
    assert to_dict(parse(AdversarialConfig, tree))["discriminator"] == {"type": "unet", "channels": 32}
    with pytest.raises(UserError, match=r"data\.crop: the discriminator takes a multiple of 16, found 40"):
        parse(AdversarialConfig, tree | {"discriminator": {"norm": "spectral"}})
    with pytest.raises(UserError, match=r"discriminator\.channels: expected a number at least 1 .* found 0"):
        parse(AdversarialConfig, tree | {"discriminator": {"type": "unet", "channels": 0}})
    with pytest.raises(UserError, match=r"discriminator\.norm: .* it goes with another discriminator\.type"):
        parse(AdversarialConfig, tree | {"discriminator": {"type": "unet", "norm": "spectral"}})


def test_keys_of_earlier_versions() -> None:
    old = {"name": "x", "generator": {"architecture": "MSRResNet", "scale": 4, "blocks": 2, "channels": 8}}
    old["data"] = {"crop": 48, "halve": False}
    config = parse(PretrainConfig, old)
    assert to_dict(config)["generator"] == {"type": "MSRResNet", "scale": 4, "blocks": 2, "channels": 8}
    assert changes(to_dict(config) | old, config) == []


def test_config_without_init_is_pretrain_pys(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: x\n")
    with pytest.raises(UserError, match=r"init: .*found nothing; .* one for pretrain\.py"):
        load_config(AdversarialConfig, path)


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    """YAML 1.1 reads 1e-4 and 1e6 as text; Windows editors add a byte order mark and carriage returns."""
    path = tmp_path / "config.yaml"
    path.write_text("\ufeffname: été\noptimizer:\n  lr: 1e-4\n  iterations: 1e6\n  gamma: 1\n", "utf-8", newline="\r\n")
    config = load_config(PretrainConfig, path, ["optimizer.milestones=[1e5, 200_000]"])
    assert (config.name, config.optimizer.lr, config.optimizer.gamma) == ("été", 1e-4, 1.0)
    assert config.optimizer.iterations == 1_000_000
    assert config.optimizer.milestones == (100_000, 200_000)
    assert isinstance(config.optimizer.iterations, int)


def test_one_item_where_a_list_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: x\ndata: {folders: photos}\n")
    overrides = ["optimizer.milestones=1e5", "validation.folders=[Set5, Set14]"]
    config = load_config(PretrainConfig, path, overrides)
    assert config.data.folders == ("photos",)
    assert config.optimizer.milestones == (100_000,)
    assert config.validation.folders == ("Set5", "Set14")


def test_override_goes_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: x\noptimizer: {lr: 1e-3, batch: 4}\n")
    config = load_config(PretrainConfig, path, ["optimizer.lr=2e-4", "generator.blocks=2"])
    assert (config.optimizer.lr, config.optimizer.batch, config.generator.blocks) == (2e-4, 4, 2)


def test_configs_are_frozen() -> None:
    config = parse(PretrainConfig, {"name": "x"})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.name = "y"  # type: ignore[misc]


def test_changes_are_named() -> None:
    """Against what a checkpoint holds; keys that are younger than it had their defaults."""
    old, config = (
        to_dict(parse(PretrainConfig, {"name": "x"})),
        parse(PretrainConfig, {"name": "x", "data": {"crop": 48}}),
    )
    assert changes(old, config) == ["data.crop: 96 -> 48"]
    del old["runtime"]["seed"]
    assert changes(old, config) == ["data.crop: 96 -> 48"]
    old["runtime"]["gone"] = 5
    assert changes(old, config) == ["data.crop: 96 -> 48", "runtime.gone: 5 -> None", "runtime.seed: None -> 0"]


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_configs_of_the_repository(path: Path) -> None:
    kind = AdversarialConfig if "python train.py" in path.read_text(encoding="utf-8") else PretrainConfig
    config = load_config(kind, path)
    assert config.name == path.stem
    assert path.read_text(encoding="utf-8").startswith("#"), "its head says what it is for and how it is run"


def test_dry_run_prints_the_resolved_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: x\n")
    monkeypatch.setattr("sys.argv", ["pretrain.py", "--dry-run", "--config", str(path), "data.crop=48"])
    with pytest.raises(SystemExit, match="0"):
        pretrain()
    printed = parse(PretrainConfig, yaml.safe_load(capsys.readouterr().out))
    assert printed == parse(PretrainConfig, {"name": "x", "data": {"crop": 48}})


def test_the_best_weights_are_picked_by_a_metric_of_the_config() -> None:
    tree = {"name": "x", "validation": {"metrics": ["psnr", "lpips_squeeze=file"], "best": "lpips_squeeze"}}
    assert parse(PretrainConfig, tree).validation.best == "lpips_squeeze"
    with pytest.raises(UserError, match=r"validation\.best: expected one of .* \(ssim\), found 'psnr'"):
        parse(PretrainConfig, {"name": "x", "validation": {"metrics": ["ssim"]}})
    with pytest.raises(UserError, match=r"validation\.metrics: no metric 'psnrr'"):
        parse(PretrainConfig, {"name": "x", "validation": {"metrics": ["psnrr"]}})


def test_home_folder_in_files_and_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "c.yaml").write_text("name: x\ninit: ~/a\ndata: {folders: [~/b, {hr: ~/c, lr: d~/e}]}\n")
    metrics = "validation.metrics=[psnr, lpips_squeeze=~/f]"
    monkeypatch.setattr("sys.argv", ["pretrain.py", "--dry-run", "--config=~/c.yaml", "data.cache=~/g", metrics])
    with pytest.raises(SystemExit, match="0"):
        pretrain()
    tree = yaml.safe_load(capsys.readouterr().out)
    home = str(tmp_path)
    assert tree["init"] == f"{home}/a"
    assert tree["data"]["folders"] == [f"{home}/b", {"hr": f"{home}/c", "lr": "d~/e"}]
    assert tree["data"]["cache"] == f"{home}/g"
    assert tree["validation"]["metrics"] == ["psnr", f"lpips_squeeze={home}/f"]
