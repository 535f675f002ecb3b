"""Checkpoints are written atomically; weights load strictly and safely, or say why not."""

import errno
import os
import pickle
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from srgan.common.errors import UserError
from srgan.common.files import remove_leftovers, whole_file
from srgan.networks.srresnet import SRResNet
from srgan.networks.tensors import read_tensor_file
from srgan.networks.weights import load_generator, save_weights
from srgan.training.checkpoint import all_finite, load_checkpoint, previous, save_checkpoint


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def checkpoint(iteration: int, size: int = 10) -> dict[str, Any]:
    return {"config": {}, "iteration": iteration, "stage": {"exported": {}, "x": torch.full((size,), iteration)}}


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Limit files to `size` bytes, so that writes fail as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    for iteration in (1, 2, 3):
        save_checkpoint(checkpoint(iteration), path)
    assert load_checkpoint(path)["iteration"] == 3
    assert load_checkpoint(previous(path))["iteration"] == 2
    assert names(tmp_path) == ["last-previous.pt", "last.pt"]


def test_without_the_one_before(tmp_path: Path) -> None:
    for iteration in (1, 2):
        save_checkpoint(checkpoint(iteration), tmp_path / "best.pt", keep_previous=False)
    assert names(tmp_path) == ["best.pt"]


@pytest.mark.parametrize("size", [0, 1000, 100_000])
def test_full_disk_leaves_the_old_checkpoints_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "last.pt"
    for iteration in (1, 2):
        save_checkpoint(checkpoint(iteration, size=100_000), path)
    with (
        full_disk(size),
        pytest.raises(UserError, match=r"last\.pt: can't be written: .*; the checkpoint before"),
    ):
        save_checkpoint(checkpoint(3, size=100_000), path)
    assert load_checkpoint(path)["iteration"] == 2
    assert load_checkpoint(previous(path))["iteration"] == 1
    assert names(tmp_path) == ["last-previous.pt", "last.pt"]


def test_full_disk_leaves_the_old_weights_whole(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    save_weights(SRResNet(blocks=1, channels=8), path, iterations=1)
    with full_disk(1000), pytest.raises(UserError, match=r"last\.safetensors: can't be written"):
        save_weights(SRResNet(blocks=1, channels=8), path, iterations=2)
    assert read_tensor_file(path).metadata["iterations"] == "1"
    assert names(tmp_path) == ["last.safetensors"]


def test_checkpoint_cut_off_or_flipped_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a damaged pickle raises, the previous checkpoint is loaded, unless nothing that matters is damaged."""
    path, before = tmp_path / "last.pt", checkpoint(1)
    save_checkpoint(checkpoint(2), path)
    whole = path.read_bytes()
    damaged = [whole[:length] for length in range(0, len(whole), 97)]
    damaged += [whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :] for i in range(0, len(whole), 61)]
    for content in damaged:
        save_checkpoint(before, previous(path), keep_previous=False)
        path.write_bytes(content)
        assert load_checkpoint(path)["iteration"] in (1, 2)
    assert "going back to last-previous.pt, iteration 1" in capsys.readouterr().err


def _refuse(error: Exception) -> Callable[..., None]:
    def refusing(*_: object, **__: object) -> None:
        raise error

    return refusing


@pytest.mark.parametrize(
    ("target", "name", "error"),
    [
        (Path, "read_bytes", OSError(errno.EIO, "Input/output error")),
        (Path, "read_bytes", PermissionError(errno.EACCES, "Permission denied")),
        (Path, "read_bytes", MemoryError()),
        (torch, "load", MemoryError()),
        (torch, "load", RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")),
    ],
)
def test_whole_checkpoint_that_cannot_be_read_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: object, name: str, error: Exception
) -> None:
    path = tmp_path / "last.pt"
    for iteration in (1, 2):
        save_checkpoint(checkpoint(iteration), path)
    with (
        monkeypatch.context() as patch,
        pytest.raises(UserError, match=r"last\.pt: can't be read: .*nothing is changed"),
    ):
        patch.setattr(target, name, _refuse(error))
        load_checkpoint(path)
    assert names(tmp_path) == ["last-previous.pt", "last.pt"]
    assert load_checkpoint(path)["iteration"] == 2


def test_first_checkpoint_that_cannot_be_written(tmp_path: Path) -> None:
    with full_disk(0), pytest.raises(UserError, match=r"last\.pt: can't be written: File too large$"):
        save_checkpoint(checkpoint(1), tmp_path / "last.pt")


def test_leftovers_of_killed_processes(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    with pytest.raises(Killed), whole_file(tmp_path / "x.png") as part:
        part.write_bytes(b"half")
        raise Killed
    assert not names(tmp_path), "nothing under the final name, nothing under another"
    part.write_bytes(b"half")
    remove_leftovers(tmp_path, seconds=60)
    assert part.exists(), "its process may live"
    remove_leftovers(tmp_path)
    assert not names(tmp_path)


def test_longest_names_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("ж" * 123 + ".png")
    with whole_file(path) as part:
        part.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"


def test_all_finite() -> None:
    assert all_finite({"a": [torch.ones(2), (torch.tensor(3),)], "b": None, "c": float("-inf")})
    assert not all_finite({"a": [torch.ones(2), {"b": torch.tensor([1, float("nan")])}]})
    assert not all_finite(torch.tensor(float("inf")))
    assert all_finite({"a": torch.full((9,), 3e38), "b": torch.ones(2, dtype=torch.bfloat16), "c": torch.ones(0)})


def test_all_finite_waits_for_the_device_once() -> None:
    waits = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            waits.extend([operator] if operator is torch.ops.aten._local_scalar_dense.default else [])
            return operator(*args, **(kwargs or {}))

    state = [torch.ones(i, dtype=dtype) for i in range(1, 9) for dtype in (torch.float32, torch.bfloat16)]
    with Watch():
        assert all_finite(state)
    assert len(waits) == 1


# Weights


@pytest.fixture
def generator() -> SRResNet:
    return SRResNet(blocks=2, channels=8)


def same(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def _wrapped(generator: SRResNet, path: Path, prefix: str) -> None:
    torch.save({f"{prefix}{name}": tensor for name, tensor in generator.state_dict().items()}, path)


WELCOME: dict[str, Callable[[SRResNet, Path], None]] = {
    "state dict": lambda g, path: torch.save(g.state_dict(), path),
    "from DistributedDataParallel": lambda g, path: _wrapped(g, path, "module."),
    "from torch.compile": lambda g, path: _wrapped(g, path, "_orig_mod."),
    "from both": lambda g, path: _wrapped(g, path, "module._orig_mod."),
    "from both, the other way round": lambda g, path: _wrapped(g, path, "_orig_mod.module."),
    "under state_dict": lambda g, path: torch.save({"epoch": 3, "state_dict": g.state_dict()}, path),
    "under params_ema": lambda g, path: torch.save({"params_ema": g.state_dict()}, path),
    "training checkpoint": lambda g, path: save_checkpoint(
        {"config": {}, "iteration": 1, "stage": {"exported": g.state_dict()}}, path
    ),
}


@pytest.mark.parametrize("save", WELCOME.values(), ids=WELCOME)
def test_weights_that_load(tmp_path: Path, generator: SRResNet, save: Callable[[SRResNet, Path], None]) -> None:
    save(generator, tmp_path / "weights.pt")
    assert same(load_generator(tmp_path / "weights.pt"), generator)


def test_half_precision_is_widened(tmp_path: Path, generator: SRResNet) -> None:
    generator.half()
    torch.save(generator.state_dict(), tmp_path / "weights.pt")
    assert same(load_generator(tmp_path / "weights.pt"), generator.float())


def test_run_folder_gives_its_last_weights(tmp_path: Path, generator: SRResNet) -> None:
    with pytest.raises(UserError, match=r"a run folder with weights/last\.safetensors"):
        load_generator(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    other = SRResNet(blocks=1, channels=4)
    WELCOME["training checkpoint"](other, tmp_path / "checkpoints" / "last.pt")
    assert same(load_generator(tmp_path), other), "not validated yet: the checkpoint has them"
    save_weights(generator, tmp_path / "weights" / "last.safetensors")
    assert same(load_generator(tmp_path), generator)


class Attack:
    """A pickle that runs a command when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("load", [load_generator, read_tensor_file, load_checkpoint])
@pytest.mark.parametrize("protocol", [None, 0, 2])
def test_code_in_a_pickle_never_runs(tmp_path: Path, load: Callable[[Path], Any], protocol: int | None) -> None:
    path, target = tmp_path / "weights.pth", tmp_path / "was here"
    content = {"config": {}, "iteration": 1, "stage": {"exported": Attack(target)}}
    if protocol is None:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(UserError, match=r"weights\.pth: ") as error:
        load(path)
    assert not target.exists()
    assert len(str(error.value).splitlines()) == 1
    if load is not load_checkpoint:
        assert "refused" in str(error.value)


def _without(name: str) -> Callable[[dict], dict]:
    return lambda tensors: {key: tensor for key, tensor in tensors.items() if key != name}


WRONG: dict[str, tuple[Callable[[dict], Any], str]] = {
    "a key is missing": (_without("tail.bias"), "lacks tail.bias"),
    "a key too many": (lambda t: t | {"extra.weight": torch.ones(1)}, "has an unknown extra.weight"),
    "a wrong shape": (lambda t: t | {"tail.bias": torch.ones(4)}, r"tail.bias has shape \(4,\), expected \(3,\)"),
    "a block is missing": (_without("body.0.conv1.weight"), "lacks|unknown"),
    "no head": (_without("head.0.weight"), "its tensors are named"),
    "a scalar for a head": (lambda t: t | {"head.0.weight": torch.ones(())}, "its tensors are named"),
    "scale 16": (
        lambda t: t | {f"upsample.{i}.0.weight": torch.ones(32, 8, 3, 3) for i in range(4)},
        "scale must be 1, 2, 3, 4",
    ),
    "another architecture": (lambda t: {"conv_first.weight": torch.ones(8, 3, 3, 3)}, "named conv_first.weight, ..."),
    "nothing": (lambda t: {}, "not a generator of this project: its tensors are named nothing"),
    "numbers": (lambda t: {"head.0.weight": 1.0}, "expected named tensors"),
    "a tensor": (lambda t: torch.ones(3), "expected named tensors, found Tensor"),
    "a list": (lambda t: list(t.values()), "expected named tensors, found list"),
    "a network": (lambda t: nn.Conv2d(1, 1, 1), "refused: a pickle .* expected the `state_dict"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_wrong_weights_say_what_is_wrong(
    tmp_path: Path, generator: SRResNet, change: Callable[[dict], Any], message: str
) -> None:
    torch.save(change(dict(generator.state_dict())), tmp_path / "weights.pt")
    with pytest.raises(UserError, match=message) as error:
        load_generator(tmp_path / "weights.pt")
    assert "weights.pt" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("content", ["empty", "truncated", "text", "of the other format", "zeros"])
def test_damaged_weights(tmp_path: Path, generator: SRResNet, suffix: str, content: str) -> None:
    path = tmp_path / f"weights{suffix}"
    torch.save(generator.state_dict(), tmp_path / "a.pt")
    safetensors.torch.save_file(generator.state_dict(), tmp_path / "a.safetensors")
    whole = (tmp_path / f"a{suffix}").read_bytes()
    other = (tmp_path / ("a.pt" if suffix == ".safetensors" else "a.safetensors")).read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "truncated": whole[: len(whole) // 2],
            "text": b"version https://git-lfs.github.com/spec/v1\n",
            "of the other format": other,
            "zeros": bytes(1000),
        }[content]
    )
    with pytest.raises(UserError, match=rf"weights{suffix}: (damaged|refused|.*Git LFS)") as error:
        load_generator(path)
    assert len(str(error.value).splitlines()) == 1


def test_no_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a file of tensors, found nothing"):
        load_generator(tmp_path / "none.safetensors")
    with pytest.raises(UserError, match="expected a file of tensors, found a folder"):
        read_tensor_file(tmp_path)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "net."])
def test_two_tensors_of_one_name_are_named(tmp_path: Path, prefix: str) -> None:
    tensors = SRResNet(blocks=1, channels=4).state_dict()
    tensors[f"{prefix}head.0.weight"] = torch.zeros_like(tensors["head.0.weight"])
    torch.save(tensors, tmp_path / "x.pt")
    with pytest.raises(UserError, match=rf"x\.pt: head\.0\.weight and {prefix}head\.0\.weight are two tensors of one"):
        load_generator(tmp_path / "x.pt")
