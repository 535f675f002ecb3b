"""Reading tensor files that may be hostile: nothing in them is executed, memory stays within the file's size."""

import os
import pickle
import reprlib
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import safetensors
import torch
from torch import Tensor

from srgan.common.errors import UserError, describe

# Weights, and the counters of batch norm (int64).
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64)

# Keys under which checkpoints hold a state dict, outer ones first; "stage" and "exported" are this project's.
WRAPPERS = ("stage", "exported", "model_state_dict", "state_dict", "params_ema", "params-ema", "params", "model", "net")

# How files that people take for PyTorch's begin, and what they are.
_SIGNATURES = {
    b"\x89HDF": "HDF5, as Keras and TensorFlow write it",
    b"\x93NUMPY": "an array of NumPy",
    b"GGUF": "GGUF",
    b"MATLAB": "a file of MATLAB",
    b"7767517": "a network of ncnn",
    b"<?xml": "XML, such as a network of OpenVINO",
    b"version https://git-lfs": "a pointer of Git LFS: `git lfs pull` fetches the file",
    b"<!DOCTYPE": "a web page: download the file itself",
    b"<html": "a web page: download the file itself",
    b"\x1f\x8b": "a gzip archive: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"\xfd7zXZ": "an xz archive: unpack it",
    b"BZh": "a bzip2 archive: unpack it",
    b"\x28\xb5\x2f\xfd": "a zstd archive: unpack it",
    b"\x12\x01\0\0": "of MXNet",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
# Those that begin as others do, by their extension, and what an archive (zip) of each kind holds.
_SUFFIXES = {
    **dict.fromkeys((".h5", ".hdf5", ".keras"), "of Keras"),
    **dict.fromkeys((".pb", ".index", ".data-00000-of-00001", ".meta"), "of TensorFlow"),
    ".tflite": "of TensorFlow Lite",
    ".onnx": "ONNX",
    ".npz": "arrays of NumPy",
    ".npy": "an array of NumPy",
    ".mat": "a file of MATLAB",
    ".caffemodel": "of Caffe",
    ".prototxt": "of Caffe",
    ".mlmodel": "of Core ML",
    ".mlpackage": "of Core ML",
    ".param": "of ncnn",
    ".pdparams": "of PaddlePaddle",
    ".msgpack": "of Flax",
    ".engine": "of TensorRT",
    ".trt": "of TensorRT",
    ".gguf": "GGUF",
    ".weights": "of Darknet",
    ".t7": "of Torch 7",
    ".mnn": "of MNN",
    ".tar": "a tar archive: unpack it",
}
_ENTRIES = {
    "/archive_format": "a program of torch.export: save its network's state_dict()",
    "constants.pkl": "TorchScript: save its state_dict()",
    ".weights.h5": "of Keras",
    ".npy": "arrays of NumPy",
    **dict.fromkeys((".pt", ".pth", ".safetensors"), "an archive with a file of them: unpack it"),
}


class TensorFile(NamedTuple):
    """The contents of a tensor file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]  # of safetensors; of a training checkpoint its config's `generator` section


def read_tensor_file(path: Path) -> TensorFile:
    """Read a .safetensors file or a pickled state dict onto the CPU, in the file's dtypes.

    A training checkpoint yields its generator, a dict with a key of `WRAPPERS` what is under that key.

    Raises:
        UserError: there is no such file, it is damaged, or it holds anything but finite dense tensors of `DTYPES`.
    """
    if not path.is_file():
        raise UserError(f"{path}: expected a file of tensors, found {'a folder' if path.is_dir() else 'nothing'}")
    if kind := _foreign_kind(path):
        raise UserError(f"{path}: expected weights of PyTorch (.safetensors, .pt, .pth), found {kind}")
    try:
        file = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
        problem = _problem(file.tensors, path.stat().st_size)
    except Exception as error:
        # Damaged or malicious bytes can raise anything.
        if path.suffix != ".safetensors" and not _begins_as_pickle(path):
            raise UserError(f"{path}: damaged, or no file of tensors: it begins as none of PyTorch's") from error
        if isinstance(error, pickle.UnpicklingError):
            raise UserError(
                f"{path}: refused: a pickle that is damaged or holds more than tensors (it could run code); "
                "expected the `state_dict()` of a network"
            ) from error
        raise UserError(f"{path}: damaged, or no file of tensors: {describe(error)}") from error
    if problem:
        raise UserError(f"{path}: {problem}")
    return file


def _begins_as_pickle(path: Path) -> bool:
    """Whether a file may be a pickle, or the archive in which PyTorch keeps one, by its first byte."""
    with path.open("rb") as file:
        # Protocol 2 and later; the dicts, lists and classes of the earlier ones; a zip archive.
        return file.read(1) in (b"\x80", b"(", b"}", b"]", b"c", b"P")


def _foreign_kind(path: Path) -> str | None:
    """What a file is, if it is of another program: by how it begins, by what is in an archive, by its extension."""
    with path.open("rb") as file:
        start = file.read(32)
    if start[4:8] == b"TFL3":
        return "a network of TensorFlow Lite"
    for signature, kind in _SIGNATURES.items():
        if start.startswith(signature):
            return kind
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        return next((kind for end, kind in _ENTRIES.items() if any(name.endswith(end) for name in names)), None)
    return _SUFFIXES.get(path.suffix.lower())


def _read_safetensors(path: Path) -> TensorFile:
    with safetensors.safe_open(path, framework="pt") as file:
        return TensorFile({name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {})  # noqa: SIM118


def unpickle(file: BinaryIO) -> Any:
    """What `torch.save` wrote, on the CPU, without executing anything in it.

    Raises:
        Exception: of any kind; the file is damaged, compressed, or holds more than tensors and plain values.
    """
    zipped = file.read(2) == b"PK"
    size = file.seek(0, os.SEEK_END)
    if zipped:
        # torch.save doesn't compress, and a compressed file can unpack to a thousand times its size.
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > size:
            raise ValueError(f"a compressed archive that unpacks to {unpacked / 1e6:,.1f} MB")
    file.seek(0)
    with warnings.catch_warnings():
        # About kinds of tensors that nothing here writes.
        warnings.simplefilter("ignore")
        return torch.load(file, map_location="cpu", weights_only=True)


def _read_pickle(path: Path) -> TensorFile:
    """The state dict in a file of `torch.save`, without the dicts that wrap it."""
    with path.open("rb") as file:
        state = unpickle(file)
    config = state.get("config") if isinstance(state, dict) else None
    shape = config.get("generator") if isinstance(config, dict) else None
    for key in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    shape = {str(key): str(value) for key, value in shape.items()} if isinstance(shape, dict) else {}
    # A file of weights calls the generator's type its architecture, and so did configs once.
    return TensorFile(state, shape | ({"architecture": shape["type"]} if "type" in shape else {}))


def _problem(state: Any, size: int) -> str | None:
    """What is wrong with an alleged state dict, if anything; `size` is its file's in bytes."""
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
    # Views that share a storage would each become a copy.
    total = sum(tensor.nbytes for tensor in state.values())
    if total > size:
        return f"its tensors claim {total / 1e6:,.1f} MB in a file of {size / 1e6:,.1f} MB"
    for name, tensor in state.items():
        # Networks run in fp32, where large fp64 values are infinite.
        if not tensor.float().isfinite().all():
            return f"{name} holds infinite values or NaN: the training that made it failed"
    return None
