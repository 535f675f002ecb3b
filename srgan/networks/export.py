"""A generator as ONNX (.onnx) or as a program of torch.export (.pt2), for images of any size.

Input "lr": N x 3 x H x W, RGB in [0, 1]; output "sr": N x 3 x scale*H x scale*W, RGB in [0, 1]. See docs/EXPORT.md.
"""

import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from srgan.common.errors import UserError
from srgan.common.files import whole_file
from srgan.networks.foreign import SpandrelNetwork
from srgan.networks.network import Network, check_output
from srgan.networks.weights import find_weights, load_network

# What the exported network may differ by, in [0, 1]: rounding in fp32; one level of 8 bits in fp16.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 1 / 255}
ODD_SIZES = (17, 23), (31, 8), (1, 1)
OPSET, IR_VERSION = 18, 8  # what ONNX Runtime in a browser, and programs of some years, read

Run = Callable[[Tensor], Tensor]


class UnitRange(nn.Module):
    """A network for inference with its output in [0, 1]."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network.for_inference()

    def forward(self, lr: Tensor) -> Tensor:
        return ((self.network(lr) + 1) / 2).clamp(0, 1).to(lr.dtype)


def write_network(weights: Path, out: Path, dtype: torch.dtype = torch.float32) -> float:
    """Write a network for other programs, and check it on odd sizes.

    Args:
        weights: as `load_network` takes them.
        out: `.onnx` or `.pt2`.
        dtype: fp32 or fp16.

    Returns:
        The largest difference from PyTorch's output in fp32, which is in [0, 1].

    Raises:
        UserError: another suffix, no weights, `out` is the weights, a package is missing, or the exported network
            computes something else.
        NotFiniteError: the network gives no picture.
    """
    if out.suffix not in (".onnx", ".pt2"):
        raise UserError(f"OUT: expected a name that ends with .onnx or .pt2, found {out}")
    network = load_network(weights)
    if isinstance(network, SpandrelNetwork):
        raise UserError(
            f"{weights}: expected a generator of this project or a published SRGAN, found one of spandrel's"
        )
    if out.exists() and out.samefile(find_weights(weights)):
        raise UserError(f"OUT: {out} is the network itself: take another name")
    with torch.inference_mode():
        check_output(network(torch.rand(1, 3, 16, 16)), weights)
    original, exported = UnitRange(network), UnitRange(network).to(dtype)
    facts = {
        "scale": str(network.scale),
        "input": f"lr: N x 3 x H x W, RGB in [0, 1], {str(dtype)[6:]}",
        "output": "sr: N x 3 x scale*H x scale*W, RGB in [0, 1]",
    }
    write, read = (write_onnx, read_onnx) if out.suffix == ".onnx" else (write_program, read_program)
    with whole_file(out) as part, warnings.catch_warnings():
        # Of PyTorch's exporters at themselves.
        warnings.simplefilter("ignore")
        write(exported, part, dtype, facts)
        difference = largest_difference(original, read(part), dtype)
        if not difference <= TOLERANCE[dtype]:
            raise UserError(f"{out}: not written: the exported network is {difference:.1e} of [0, 1] off PyTorch's")
    return difference


def example(dtype: torch.dtype) -> dict[str, Any]:
    """What an export traces the network with."""
    sizes = {axis: torch.export.Dim(name) for axis, name in ((0, "batch"), (2, "height"), (3, "width"))}
    return {"args": (torch.rand(2, 3, 16, 24, dtype=dtype),), "dynamic_shapes": (sizes,)}


def write_program(network: nn.Module, path: Path, dtype: torch.dtype, facts: dict[str, str]) -> None:
    program = torch.export.export(network, **example(dtype))
    buffer = BytesIO()  # since PyTorch's own errors of a file that can't be written are no OSErrors
    torch.export.save(program, buffer, extra_files=facts)
    path.write_bytes(buffer.getvalue())


def read_program(path: Path) -> Run:
    return torch.export.load(path).module()


def write_onnx(network: nn.Module, path: Path, dtype: torch.dtype, facts: dict[str, str]) -> None:
    """Raises: UserError, a package is missing."""
    model = to_onnx(network, dtype)
    optional("onnx").helper.set_model_props(model, facts)
    path.write_bytes(model.SerializeToString())


def to_onnx(network: nn.Module, dtype: torch.dtype, outputs: Sequence[str] = ("sr",)) -> Any:
    """An ONNX model (protobuf) of a network for inference, with its outputs' names.

    Raises:
        UserError: a package is missing.
    """
    # All before the export, which takes a while.
    onnx, _, _ = map(optional, ("onnx", "onnxscript", "onnxruntime"))
    options: dict[str, Any] = {"input_names": ["lr"], "output_names": outputs, "opset_version": OPSET, "verbose": False}
    program = torch.onnx.export(network, **example(dtype), **options, dynamo=True)
    assert program is not None
    model = program.model_proto
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    return model


def read_onnx(path: Path) -> Run:
    """Raises: UserError, a package is missing."""
    session = optional("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda lr: torch.from_numpy(session.run(["sr"], {"lr": lr.numpy()})[0])


def optional(package: str) -> ModuleType:
    """Raises: UserError, it isn't installed."""
    try:
        return import_module(package)
    except ImportError as error:
        raise UserError(f"{error.name} is missing: pip install onnx onnxscript onnxruntime") from error


@torch.inference_mode()
def largest_difference(original: Run, exported: Run, dtype: torch.dtype) -> float:
    """Between two networks, over images of odd sizes."""
    images = [torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)) for size in ODD_SIZES]
    differences = [(exported(lr.to(dtype)) - original(lr)).abs().max() for lr in images]
    return float(torch.stack(differences).max())  # NaN if one of them is
