"""Recipes: a tiny one from nothing to its weights file, interrupted anywhere; and the ones of the repository."""

import hashlib
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import REPOSITORY
from small_runs import die_at_rename, exit_status, fork, identical, light_runs
from test_photographs import FILES, listed
from test_photographs import served as served

from scripts import photographs as photographs_script
from scripts.recipe import Run, load_recipe
from srgan.common.errors import UserError
from srgan.networks.architectures import build
from srgan.networks.interpolate import mix
from srgan.networks.tensors import read_tensor_file
from srgan.networks.weights import find_weights, save_weights
from srgan.training.config import AdversarialConfig, PretrainConfig
from srgan.training.stages import PretrainStage

RECIPES = sorted((REPOSITORY / "recipes").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _light() -> Any:
    with light_runs():
        yield


@pytest.fixture
def recipe(tmp_path: Path, served: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All kinds of steps, each of 2 iterations or 3 crops; its photographs come from a local repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(photographs_script, "read_table", listed)
    tree = {
        "common": {
            "data": {"folders": str(photographs), "cache": "cache", "crop": 32, "workers": 0},
            "generator": {"blocks": 1, "channels": 8},
            "optimizer": {"iterations": 2, "batch": 2},
            "validation": {"folders": "skimage:astronaut.png", "samples": 0, "every": 2},
            "log": {"every": 1, "checkpoint": 1},
            "runtime": {"precision": "fp32"},
        },
        "steps": {
            "photographs": {"run": "photographs", "out": "fetched", "url": f"file://{served}"},
            "begin": {"run": "pretrain"},
            "longer": {"run": "pretrain", "init": "step:begin", "optimizer": {"iterations": 3}},
            "taught": {"run": "teacher_images", "weights": "step:begin", "count": 3, "crop": 24},
            "gan": {
                "run": "train",
                "init": "step:longer",
                "data": {"folders": [{"hr": "step:taught/HR", "lr": "step:taught/LR"}]},
                "loss": {"content": "mse"},
                "discriminator": {"head": "patch"},
            },
            "mixed": {"run": "mix", "pixels": "step:longer", "gan": "step:gan", "alpha": 0.75},
        },
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return path


def run(path: Path, *overrides: str, runs: str = "runs", **options: bool) -> int:
    folder = Path(runs) / path.stem
    recipe = load_recipe(path, folder, overrides)
    return Run(recipe, folder, torch.device("cpu"), options.get("allow_config_change", False))()


def test_from_nothing_to_the_weights_file(recipe: Path, tmp_path: Path) -> None:
    assert run(recipe) == 0
    released = read_tensor_file(Path("runs/tiny/tiny.safetensors"))
    mix(Path("runs/tiny/longer"), Path("runs/tiny/gan"), 0.75, Path("expected.safetensors"))
    assert identical(released.tensors, read_tensor_file(Path("expected.safetensors")).tensors)
    facts = released.metadata
    assert yaml.safe_load(facts["recipe"]) == yaml.safe_load(recipe.read_text())
    assert (facts["iterations"], facts["steps"]) == ("7", "begin 2, longer 3, gan 2")
    digests = facts["photographs"].split("; ")
    assert [text.split(", digest ")[0] for text in digests] == ["4", "3"], (
        "four photographs, three crops of the teacher"
    )
    assert facts["code"] == read_tensor_file(find_weights(Path("runs/tiny/gan"))).metadata["code"]
    assert len(list(Path("fetched").rglob("*.png"))) == len(FILES)
    assert len(list(Path("runs/tiny/taught/HR").iterdir())) == 3


def test_what_is_finished_is_skipped(recipe: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(recipe) == 0
    written = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*") if path.suffix in (".png", ".pt")}
    assert len(written) > 10
    capsys.readouterr()
    assert run(recipe) == 0
    assert capsys.readouterr().out == "finished: runs/tiny/tiny.safetensors\n"
    Path("runs/tiny/tiny.safetensors").unlink()
    assert run(recipe) == 0
    output = capsys.readouterr().out
    assert [f"runs/tiny/{name} is finished" in output for name in ("begin", "longer", "gan")] == [True] * 3
    assert {path: path.stat().st_mtime_ns for path in written} == written


UNINTERRUPTED: dict[str, torch.Tensor] = {}


@pytest.fixture
def uninterrupted(recipe: Path) -> dict[str, torch.Tensor]:
    """The tensors of a run that nothing has stopped; the same in any folder, so it is run once."""
    if not UNINTERRUPTED:
        assert run(recipe, runs="other") == 0
        UNINTERRUPTED.update(read_tensor_file(Path("other/tiny/tiny.safetensors")).tensors)
    return UNINTERRUPTED


def run_and_die(recipe: Path, limit: int) -> int:
    die_at_rename(limit)
    return run(recipe)


def test_killed_anywhere_it_ends_with_the_same_weights(recipe: Path, uninterrupted: dict[str, torch.Tensor]) -> None:
    """Before a few of its renames, one after the other, whatever they are of."""
    kills = 0
    for limit in (5, 9, 13, 17, 21, 25):
        status = exit_status(fork(partial(run_and_die, recipe, limit)))
        assert status in (0, -signal.SIGKILL)
        kills += status != 0
    assert kills >= 3
    assert run(recipe) == 0
    assert identical(read_tensor_file(Path("runs/tiny/tiny.safetensors")).tensors, uninterrupted)


def test_ctrl_c_ends_the_step_and_the_recipe(
    recipe: Path, uninterrupted: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    step = PretrainStage.step

    def stopped(stage: PretrainStage, *batch: torch.Tensor) -> dict[str, torch.Tensor]:
        if stage.config.name == "longer" and stage.updates == 1:
            signal.raise_signal(signal.SIGINT)
        return step(stage, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(PretrainStage, "step", stopped)
        assert run(recipe) == 130
    assert "stopped at iteration 2 of 3; go on with:" in capsys.readouterr().out
    assert not Path("runs/tiny/taught").exists()
    assert run(recipe) == 0
    assert identical(read_tensor_file(Path("runs/tiny/tiny.safetensors")).tensors, uninterrupted)


def test_a_changed_step_is_refused(recipe: Path) -> None:
    assert run(recipe) == 0
    with pytest.raises(UserError, match=r"step begin: the config differs .*optimizer\.lr: 0\.0001 -> 0\.001.*--allow"):
        run(recipe, "steps.begin.optimizer.lr=1e-3")
    with pytest.raises(UserError, match=r"step taught: runs/tiny/taught was made otherwise: crop: 24 -> 32; delete it"):
        run(recipe, "steps.taught.crop=32")


def test_a_step_is_not_made_again_under_those_that_began_with_it(recipe: Path) -> None:
    assert run(recipe) == 0
    with pytest.raises(UserError, match=r"step begin: isn't finished, and runs/tiny/longer was begun with what it was"):
        run(recipe, "steps.begin.optimizer.iterations=4", allow_config_change=True)
    with pytest.raises(UserError, match=r"step taught: isn't finished, and runs/tiny/gan was begun"):
        run(recipe, "steps.taught.count=4", allow_config_change=True)


def test_other_weights_than_it_was_begun_with_are_refused(recipe: Path) -> None:
    """Those that no step makes; they are in the metadata, too."""
    teacher = Path("teacher.safetensors")
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_weights(build("SRResNet", blocks=1, channels=8), teacher)
        override = f"steps.longer.loss.teacher={teacher}"
        if not seed:
            assert run(recipe, override) == 0
            digest = hashlib.sha256(teacher.read_bytes()).hexdigest()
            assert read_tensor_file(Path("runs/tiny/tiny.safetensors")).metadata["sources"] == f"{teacher} {digest}"
    with pytest.raises(UserError, match=r"runs/tiny was begun with another teacher\.safetensors: delete it"):
        run(recipe, override)
    assert run(recipe, override, allow_config_change=True) == 0


def test_missing_photographs_stop_it(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs_script, "read_table", lambda: [*listed(), *listed("gone/walls", {"x.jpg": b"x"})])
    with pytest.raises(UserError, match=r"step photographs: 1 of 4 photographs are missing, .* allow_missing: true"):
        run(recipe)
    assert run(recipe, "steps.photographs.allow_missing=true") == 0


MISTAKES = {
    "steps.begin.run=train": r"steps\.begin: init: expected the weights",
    "steps.begin.run=pertrain": r"steps\.begin: run: expected one of photographs, pretrain, .* found 'pertrain'",
    "steps.begin.optimizer.rl=1": r"steps\.begin: optimizer\.rl: unknown key; did you mean optimizer\.lr",
    "steps.longer.init=step:start": r"steps\.longer: step:start: expected an earlier step \(photographs, begin\)",
    "steps.begin.init=step:longer": r"steps\.begin: step:longer: expected an earlier step",
    "steps.gan.loss.teacher=none.pth": r"steps\.gan: none\.pth: expected weights, found nothing",
    "steps.mixed.alpha=2": r"steps\.mixed: alpha: expected a number at least 0 and at most 1, found 2",
    "steps.mixed.pixel=a": r"steps\.mixed: pixel: unknown key; did you mean pixels",
    "steps.taught.count=0": r"steps\.taught: count: expected a number at least 1, found 0",
    "steps.more.run=photographs": r"steps\.more: expected a network of the last step",
    "steps.a/b.run=mix": r"steps\.a/b: expected a name of letters",
    "steps.begin=1": r"steps\.begin: run: expected one of .*, found 1",
    "steps=1": "expected `steps`, each under its name",
    "step=1": "step: unknown key; expected one of common, steps",
    "common.data.crops=1": r"steps\.begin: data\.crops: unknown key; did you mean data\.crop",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_mistakes(recipe: Path, override: str) -> None:
    """Before any work, with the file, the step and the key."""
    with pytest.raises(UserError, match=MISTAKES[override]) as error:
        load_recipe(recipe, Path("runs/tiny"), [override])
    assert str(error.value).startswith(str(recipe))
    assert not Path("runs").exists()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_repositorys_recipes(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each makes one released file, of photographs that can be fetched, in steps that hold together."""
    monkeypatch.chdir(tmp_path)
    weights = Path("datasets/published/RealESRGAN_x4plus.pth")
    weights.parent.mkdir(parents=True)
    weights.touch()
    recipe = load_recipe(path, Path("runs") / path.stem)
    assert (REPOSITORY / "weights" / f"{path.stem}.safetensors").exists()
    configs = [step for step in recipe.steps.values() if isinstance(step, PretrainConfig)]
    assert {config.generator.scale for config in configs} == {int(path.stem[-1])}
    assert isinstance(configs[-1], AdversarialConfig) == path.stem.startswith("srgan")
    fetched = {"datasets/photographs/train", "{hr: runs/srgan_photo_x4/taught/HR, lr: runs/srgan_photo_x4/taught/LR}"}
    assert {str(folder) for config in configs for folder in config.data.folders} <= fetched
    assert {folder for config in configs for folder in config.validation.folders} == {"datasets/photographs/valid"}


def test_there_is_a_recipe_for_each_released_file() -> None:
    released = (REPOSITORY / "weights").glob("*.safetensors")
    assert {path.stem for path in released} == {path.stem for path in RECIPES}
