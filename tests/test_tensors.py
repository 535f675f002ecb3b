"""Hostile weights files end in one line and take little memory."""

import resource
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from srgan.common.errors import UserError
from srgan.networks.srresnet import SRResNet
from srgan.networks.weights import load_generator
from srgan.training.checkpoint import load_checkpoint

Tensors = dict[str, Tensor]


@contextmanager
def little_memory() -> Iterator[None]:
    """This process can have 512 MB more than it has."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**29, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def deflated(state: object, path: Path) -> None:
    """The file of `torch.save`, compressed, which it never is."""
    torch.save(state, path)
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def of_shapes(**shape: Any) -> Tensors:
    """A state dict of the right names and shapes whose every value is the same four bytes."""
    with torch.device("meta"):
        own = SRResNet(**shape).state_dict()
    return {name: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for name, tensor in own.items()}


def with_tail(change: Callable[[Tensor], object]) -> Callable[[Tensors], dict]:
    return lambda tensors: tensors | {"tail.weight": change(tensors["tail.weight"])}


def with_value(value: float) -> Callable[[Tensor], Tensor]:
    return lambda tensor: tensor.index_fill(0, torch.tensor([1]), value)


HOSTILE: dict[str, tuple[Callable[[Tensors], object], str]] = {
    "NaN": (with_tail(with_value(float("nan"))), r"tail\.weight holds infinite values or NaN"),
    "infinity": (with_tail(with_value(float("-inf"))), r"tail\.weight holds infinite values or NaN"),
    "too large for fp32": (with_tail(lambda t: t.double() * 1e300), r"tail\.weight holds infinite values or NaN"),
    "NaN in a running mean": (
        lambda t: t | {"body.0.bn1.running_mean": torch.full((8,), torch.nan)},
        r"body\.0\.bn1\.running_mean holds infinite values or NaN",
    ),
    "int64": (with_tail(Tensor.long), r"tail\.weight is torch\.int64, expected torch\.float32"),
    "int8": (with_tail(Tensor.char), r"tail\.weight is torch\.int8, expected"),
    "bool": (with_tail(Tensor.bool), r"tail\.weight is torch\.bool, expected"),
    "complex": (with_tail(lambda t: t.to(torch.complex64)), r"tail\.weight is torch\.complex64, expected"),
    "8-bit floats": (with_tail(lambda t: t.to(torch.float8_e4m3fn)), r"tail\.weight is torch\.float8_e4m3fn, expected"),
    "quantised": (
        with_tail(lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8)),
        r"tail\.weight is torch\.qint8, expected",
    ),
    "sparse": (with_tail(Tensor.to_sparse), r"tail\.weight is torch\.sparse_coo, expected"),
    "sparse rows": (
        lambda t: t | {"body.2.weight": t["body.2.weight"].flatten(1).to_sparse_csr()},
        r"body\.2\.weight is torch\.sparse_csr, expected",
    ),
    "meta": (with_tail(lambda t: t.to("meta")), r"tail\.weight is meta, expected"),
    "nested": (
        with_tail(lambda t: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])),
        "refused: a pickle|damaged, or no file of tensors",
    ),
    "integer keys": (lambda t: dict(enumerate(t.values())), "expected named tensors, found Tensor under 0"),
    "a stage that is none": (lambda t: {"stage": 1}, "expected named tensors, found int under 'stage'"),
    "a stage without networks": (lambda t: {"stage": {"exported": 1}}, "expected named tensors"),
    "a name of a megabyte": (lambda t: {"x" * 10**6: torch.ones(1)}, r"found Tensor under 'xxx[^ ]{1,40}$"),
    "stride 0": (with_tail(lambda t: torch.zeros(1, 1, 1, 1).expand(t.shape)), r"tail\.weight .* fewer values"),
    "stride 0, 4096 channels": (lambda t: of_shapes(channels=4096), r"head\.0\.weight .* fewer values"),
    "one storage, many views": (
        lambda t: dict.fromkeys(map(str, range(9000)), torch.ones(10**6)),
        "its tensors claim 36,000.0 MB in a file of",
    ),
    "no values, 30,000 channels": (
        lambda t: t | {"head.0.weight": torch.zeros(30_000, 0, 9, 9)},
        "expected 1 to 1024 blocks of 1 to 4096 channels, found 2 of 30000",
    ),
    "no values, 4,096 channels": (
        lambda t: t | {"head.0.weight": torch.zeros(4096, 0, 9, 9)},
        r"has shape \(4096, 0, 9, 9\), expected \(4096, 3, 9, 9\)|has shape \(8,\), expected \(4096,\)",
    ),
    "blocks without end": (
        lambda t: t | {f"body.{i}.conv1.weight": torch.zeros(0) for i in range(20_000)},
        "expected 1 to 1024 blocks of 1 to 4096 channels, found 20000 of 8",
    ),
    "shuffles without end": (
        lambda t: t | {f"upsample.{i}.0.weight": torch.zeros(0, 0, 0, 0) for i in range(20_000)},
        "scale must be 1, 2, 3, 4 or 8, not 16",
    ),
}
# The safetensors format has no room for the others.
DENSE = ["NaN", "infinity", "int64", "int8", "bool", "complex", "8-bit floats", "no values, 30,000 channels"]


def refused(path: Path, message: str) -> None:
    with little_memory(), warnings.catch_warnings(), pytest.raises(UserError, match=message) as error:
        warnings.simplefilter("error")
        load_generator(path)
    assert str(error.value).startswith(f"{path}: ")
    assert len(str(error.value)) < 400
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(("spoil", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_pickles(tmp_path: Path, spoil: Callable[[Tensors], object], message: str) -> None:
    torch.save(spoil(SRResNet(blocks=2, channels=8).state_dict()), tmp_path / "weights.pt")
    refused(tmp_path / "weights.pt", message)


@pytest.mark.parametrize("kind", DENSE)
def test_hostile_safetensors(tmp_path: Path, kind: str) -> None:
    spoil, message = HOSTILE[kind]
    tensors: Any = spoil(SRResNet(blocks=2, channels=8).state_dict())
    safetensors.torch.save_file(tensors, tmp_path / "weights.safetensors")
    refused(tmp_path / "weights.safetensors", message)


def test_a_compressed_pickle_is_not_unpacked(tmp_path: Path) -> None:
    deflated({"head.0.weight": torch.zeros(5_000_000)}, tmp_path / "weights.pt")
    refused(tmp_path / "weights.pt", r"a compressed archive that unpacks to 20\.0 MB")
    with little_memory(), pytest.raises(UserError, match=r"a compressed archive that unpacks to 20\.0 MB"):
        load_checkpoint(tmp_path / "weights.pt")


def test_an_old_pickle_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    """PyTorch's format before 1.6 names the size of each storage ahead of its bytes."""
    torch.save({"x": torch.ones(4)}, tmp_path / "weights.pt", _use_new_zipfile_serialization=False)
    content = (tmp_path / "weights.pt").read_bytes()
    claimed = content.replace(b"K\x04N", b"J\xff\xff\xff\x7fN")
    assert claimed != content
    (tmp_path / "weights.pt").write_bytes(claimed)
    refused(tmp_path / "weights.pt", "damaged, or no file of tensors")


FOREIGN = {
    "gan.h5": (b"\x89HDF\r\n\x1a\n" + bytes(5000), "HDF5, as Keras and TensorFlow write it"),
    "gan.pth": (b"\x89HDF\r\n\x1a\n" + bytes(5000), "HDF5, as Keras and TensorFlow write it"),
    "gan.tflite": (b"\x1c\0\0\0TFL3" + bytes(90), "a network of TensorFlow Lite"),
    "gan.onnx": (b"\x08\x07\x12\x07pytorch", "ONNX"),
    "gan.pb": (b"\n\x0b\n\x05input", "of TensorFlow"),
    "gan.param": (b"7767517\n75 83\n", "a network of ncnn"),
    "gan.npy": (b"\x93NUMPY\x01\0", "an array of NumPy"),
    "page.pt": (b"<!DOCTYPE html><title>Not found</title>", "a web page: download the file itself"),
    "pointer.safetensors": (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
    "gan.pt.gz": (b"\x1f\x8b\x08\0", "a gzip archive: unpack it"),
    "gan.pth.tar.xz": (b"\xfd7zXZ\0", "an xz archive: unpack it"),
    "gan.tar": (b"gan.pth" + bytes(505), "a tar archive: unpack it"),
    "gan.params": (b"\x12\x01" + bytes(90), "of MXNet"),
    "gan.weights": (bytes(90), "of Darknet"),
    "photo.pth": (b"\x89PNG\r\n\x1a\n", "a picture"),
}


@pytest.mark.parametrize(("name", "found"), FOREIGN.items(), ids=FOREIGN)
def test_weights_of_other_programs_are_called_by_their_name(
    tmp_path: Path, name: str, found: tuple[bytes, str]
) -> None:
    (tmp_path / name).write_bytes(found[0])
    with pytest.raises(UserError, match=rf"{name}: expected weights of PyTorch .*, found {found[1]}"):
        load_generator(tmp_path / name)


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ("model.weights.h5", "of Keras"),
        ("arr_0.npy", "arrays of NumPy"),
        ("gan/constants.pkl", "TorchScript: save its"),
        ("weights/gan.pth", "an archive with a file of them: unpack it"),
    ],
)
def test_archives_of_other_programs_are_called_by_their_name(tmp_path: Path, entry: str, found: str) -> None:
    with zipfile.ZipFile(tmp_path / "gan.pt", "w") as archive:
        archive.writestr(entry, b"")
    with pytest.raises(UserError, match=rf"gan\.pt: expected weights of PyTorch .*, found {found}"):
        load_generator(tmp_path / "gan.pt")


def test_a_program_of_torch_export_is_called_by_its_name(tmp_path: Path) -> None:
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(program, tmp_path / "gan.pt2")
    with pytest.raises(
        UserError, match=r"gan\.pt2: .*, found a program of torch\.export: save its network's state_dict"
    ):
        load_generator(tmp_path / "gan.pt2")


def test_a_file_of_anything_is_called_no_pickle(tmp_path: Path) -> None:
    (tmp_path / "gan.bin").write_bytes(b"some network" * 99)
    with pytest.raises(UserError, match=r"gan\.bin: damaged, or no file of tensors: it begins as none of PyTorch's"):
        load_generator(tmp_path / "gan.bin")


def test_a_folder_of_tensorflow_is_called_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(UserError, match="found a SavedModel of TensorFlow"):
        load_generator(tmp_path)
