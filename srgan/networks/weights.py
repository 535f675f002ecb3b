"""Files of network weights: saved with what rebuilds the network, loaded strictly and safely."""

import pickle
import re
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from srgan.common.errors import UserError, describe
from srgan.common.files import whole_file
from srgan.networks.generator import Generator


def save_weights(generator: Generator, path: Path, **facts: object) -> None:
    """Write a generator's weights as safetensors, atomically, its shape and the given facts in the metadata.

    Raises:
        UserError: they can't be written; the file that stood there is as it was.
    """
    shape = {"scale": generator.scale, "blocks": generator.blocks, "channels": generator.channels}
    metadata = {name: str(value) for name, value in {"architecture": "SRResNet", **shape, **facts}.items()}
    tensors = {name: tensor.contiguous() for name, tensor in generator.state_dict().items()}
    with whole_file(path) as part:
        part.write_bytes(safetensors.torch.save(tensors, metadata))


def load_generator(path: Path) -> Generator:
    """Rebuild a generator, in eval mode on the CPU, from what is at hand: no config is needed.

    Takes released weights (.safetensors), a training checkpoint (.pt), a run folder (its latest weights), or a pickled
    state dict, under the names that `DistributedDataParallel` or `torch.compile` give it, too.

    Raises:
        UserError: nothing there, not a generator's weights, or keys and shapes that don't fit, by name.
    """
    if path.is_dir():
        candidates = [path / "weights" / "last.safetensors", path / "checkpoints" / "last.pt"]
        found = next((candidate for candidate in candidates if candidate.exists()), None)
        if found is None:
            raise UserError(f"{path}: expected a run folder with weights/last.safetensors, or a weights file")
        path = found
    tensors = {re.sub(r"^((module|_orig_mod)\.)+", "", name): t for name, t in read_tensors(path).items()}
    generator = _matching_generator(path, tensors)
    own = generator.state_dict()
    problems = [f"lacks {name}" for name in own if name not in tensors]
    problems += [f"has an unknown {name}" for name in tensors if name not in own]
    problems += [
        f"{name} has shape {tuple(tensors[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(f"{path}: not an SRResNet generator of this project: {'; '.join(problems[:3])}{more}")
    generator.load_state_dict(tensors)
    return generator.eval()


def _matching_generator(path: Path, tensors: dict[str, Tensor]) -> Generator:
    """The generator whose scale, blocks and channels the tensors' names and shapes tell."""
    head = tensors.get("head.0.weight")
    shuffles = [t for name, t in tensors.items() if name.startswith("upsample.") and t.ndim == 4]
    if head is None or not head.ndim or not shuffles:
        names = ", ".join(list(tensors)[:3]) or "nothing"
        raise UserError(f"{path}: not an SRResNet generator of this project: its tensors are named {names}, ...")
    blocks = len([name for name in tensors if name.startswith("body.") and name.endswith(".conv1.weight")])
    # A convolution before a pixel shuffle has factor^2 times as many output channels as input channels.
    scale = 3 if len(shuffles) == 1 and shuffles[0].shape[0] == 9 * shuffles[0].shape[1] else 2 ** len(shuffles)
    if scale > 8:
        raise UserError(f"{path}: expected a generator of scale 2, 3, 4 or 8, found {len(shuffles)} upsampling layers")
    return Generator(scale, blocks, head.shape[0])


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Named tensors of a .safetensors or pickled file, on the CPU; nothing in the file is executed.

    A training checkpoint gives its generator; a dict under `state_dict`, `params_ema` or `params` gives that.

    Raises:
        UserError: no such file, truncated, or holding more than tensors.
    """
    if not path.is_file():
        raise UserError(f"{path}: expected a file of tensors, found {'a folder' if path.is_dir() else 'nothing'}")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: refused: a pickle that is damaged or holds more than tensors (it could run code); "
            "expected the `state_dict()` of a network"
        ) from error
    except Exception as error:
        raise UserError(f"{path}: damaged, or no file of tensors: {describe(error)}") from error
    if isinstance(state, dict) and "stage" in state:
        state = state["stage"]["exported"]
    for key in ("state_dict", "params_ema", "params"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: expected named tensors, found {type(state).__name__} of something else")
    return state


def read_metadata(path: Path) -> dict[str, str]:
    """The facts stored beside released weights; empty for other files."""
    if path.suffix != ".safetensors":
        return {}
    with safetensors.safe_open(path, framework="pt") as file:
        return file.metadata() or {}
