"""Files of named tensors, read without trust: nothing in them is executed, and they take no more memory than disk."""

import pickle
import reprlib
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from torch import Tensor

from srgan.common.errors import UserError, describe

# Of weights, and of batch norm's counters.
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64)

# Keys under which training scripts store a network's state dict, the outer ones first; "exported" is this project's.
WRAPPERS = ("stage", "exported", "model_state_dict", "state_dict", "params_ema", "params-ema", "params", "model", "net")


class TensorFile(NamedTuple):
    """What a file of tensors holds."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]  # facts beside them: of safetensors its own, of a checkpoint the generator's config


def read_tensor_file(path: Path) -> TensorFile:
    """Read the named tensors of a .safetensors or a pickled file, on the CPU, in the dtypes of the file.

    A training checkpoint gives its generator; a dict under one of the keys of `WRAPPERS` gives that.

    Raises:
        UserError: no such file; it is damaged, or holds anything but finite dense tensors of floats (or int64) that
            are all really there.
    """
    if not path.is_file():
        raise UserError(f"{path}: expected a file of tensors, found {'a folder' if path.is_dir() else 'nothing'}")
    try:
        file = _read_safetensors(path) if path.suffix == ".safetensors" else _unpickle(path)
        problem = _problem(file.tensors, path.stat().st_size)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: refused: a pickle that is damaged or holds more than tensors (it could run code); "
            "expected the `state_dict()` of a network"
        ) from error
    except Exception as error:
        # Both readers raise what they like at damaged or malicious bytes.
        raise UserError(f"{path}: damaged, or no file of tensors: {describe(error)}") from error
    if problem:
        raise UserError(f"{path}: {problem}")
    return file


def _read_safetensors(path: Path) -> TensorFile:
    with safetensors.safe_open(path, framework="pt") as file:
        return TensorFile({name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {})  # noqa: SIM118


def _unpickle(path: Path) -> TensorFile:
    """The state dict in a file of `torch.save`, out of the dicts that commonly wrap one."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    if zipped:
        # torch.save never compresses, and what is compressed unpacks to a thousand times its size.
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > path.stat().st_size:
            raise ValueError(f"a compressed archive that unpacks to {unpacked / 1e6:,.1f} MB")
    with warnings.catch_warnings():
        # They are of kinds of tensors that are refused below.
        warnings.simplefilter("ignore")
        state = torch.load(path, map_location="cpu", weights_only=True)
    config = state.get("config") if isinstance(state, dict) else None
    shape = config.get("generator") if isinstance(config, dict) else None
    for key in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    return TensorFile(state, {str(key): str(value) for key, value in shape.items()} if isinstance(shape, dict) else {})


def _problem(state: Any, size: int) -> str | None:
    """Why this isn't a state dict that can be used, if so; `size` is that of its file in bytes."""
    if not isinstance(state, dict):
        return f"expected named tensors, found {type(state).__name__}"
    for name, tensor in state.items():
        if not isinstance(name, str) or len(name) > 200 or not isinstance(tensor, Tensor):
            return f"expected named tensors, found {type(tensor).__name__} under {reprlib.repr(name)}"
        if tensor.layout is not torch.strided or tensor.is_meta or tensor.dtype not in DTYPES:
            kind = "meta" if tensor.is_meta else tensor.layout if tensor.layout is not torch.strided else tensor.dtype
            return f"{name} is {kind}, expected dense numbers of 16, 32 or 64 bits"
        if tensor.nbytes > tensor.untyped_storage().nbytes():
            return f"{name} of shape {tuple(tensor.shape)} has fewer values in the file than its shape says"
    # Many views of one storage would be copied into as many weights.
    total = sum(tensor.nbytes for tensor in state.values())
    if total > size:
        return f"its tensors claim {total / 1e6:,.1f} MB in a file of {size / 1e6:,.1f} MB"
    for name, tensor in state.items():
        # Weights are computed in fp32: what overflows there is infinite.
        if not tensor.float().isfinite().all():
            return f"{name} holds infinite values or NaN: the training that made it failed"
    return None
