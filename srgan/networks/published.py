"""Published weights of other SRGAN projects, converted to the networks of this one.

Each is described by the names of its tensors and the value ranges of its images (RGB; LR in [0, 1] unless stated).
"""

import re
from typing import NamedTuple

import torch
from torch import Tensor

from srgan.networks.layers import PReLU
from srgan.networks.msrresnet import MSRResNet
from srgan.networks.network import Scale, TrainableNetwork
from srgan.networks.rrdbnet import RRDBNet
from srgan.networks.srresnet import SRResNet

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PLAIN = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


class PReLUSRResNet(SRResNet):
    """SRResNet whose body ends with a PReLU in place of a batch norm."""

    def __init__(self, scale: Scale, blocks: int, channels: int) -> None:
        super().__init__(scale, blocks, channels)
        self.body[-1] = PReLU()


class Published(NamedTuple):
    """How another project's generator maps to a network of this one."""

    project: str
    network: type[TrainableNetwork]
    mark: str  # a tensor name that only this project has
    names: dict[str, str]  # regular expression -> name here; {conv} and {bn}: the indices after the last block
    last: str | None = None  # the last convolution, if its output y is in [0, 1]: it becomes 2y - shift
    shift: int = 1
    tanh: bool = False  # the output is a tanh, or (tanh + 1) / 2
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] = PLAIN  # mean and standard deviation of LR


# netG: (tanh + 1) / 2.
LEFTTHOMAS = Published(
    "leftthomas/SRGAN",
    SRResNet,
    "block7.1.bias",
    {
        r"block1\.": "head.",
        r"block7\.0\.": "body.{conv}.",
        r"block7\.1\.": "body.{bn}.",
        r"block8\.(\d+)\.conv\.": r"upsample.\1.0.",
        r"block8\.(\d+)\.prelu\.": r"upsample.\1.2.",
        r"block8\.\d+\.(weight|bias)": r"tail.\1",
        r"block2\.": "body.0.",
        r"block3\.": "body.1.",
        r"block4\.": "body.2.",
        r"block5\.": "body.3.",
        r"block6\.": "body.4.",
    },
    tanh=True,
)

# Output nominally in [0, 1], not clamped.
ESRGAN = Published(
    "XPixelGroup/BasicSR's ESRGAN",
    RRDBNet,
    "body.0.rdb1.conv1.weight",
    {
        r"conv_first\.": "head.",
        r"body\.(\d+)\.rdb(\d)\.": r"body.\1.dense\2.",
        r"conv_body\.": "body.{conv}.",
        r"conv_up1\.": "upsample.0.",
        r"conv_up2\.": "upsample.1.",
        r"conv_hr\.": "tail.0.",
        r"conv_last\.": "tail.2.",
    },
    last="tail.2",
)

PUBLISHED = [
    # Real-ESRGAN's x4plus as well.
    ESRGAN,
    # The files of 2018, of both versions of its code.
    ESRGAN._replace(
        mark="RRDB_trunk.0.RDB1.conv1.weight",
        names={
            r"conv_first\.": "head.",
            r"RRDB_trunk\.(\d+)\.RDB(\d)\.": r"body.\1.dense\2.",
            r"trunk_conv\.": "body.{conv}.",
            r"upconv1\.": "upsample.0.",
            r"upconv2\.": "upsample.1.",
            r"HRconv\.": "tail.0.",
            r"conv_last\.": "tail.2.",
        },
    ),
    ESRGAN._replace(
        mark="model.1.sub.0.RDB1.conv1.0.weight",
        names={
            r"model\.0\.": "head.",
            r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.": r"body.\1.dense\2.conv\3.",
            r"model\.1\.sub\.": "body.",
            r"model\.3\.": "upsample.0.",
            r"model\.6\.": "upsample.1.",
            r"model\.8\.": "tail.0.",
            r"model\.10\.": "tail.2.",
        },
    ),
    # SRResNet_x4, SRGAN_x4: convolutions before a batch norm have no bias; the output is clamped to [0, 1].
    Published(
        "Lornatang/SRGAN-PyTorch",
        SRResNet,
        "trunk.0.rcb.0.weight",
        {
            r"conv(?:_block)?1\.": "head.",
            r"trunk\.(\d+)\.rcb\.0\.": r"body.\1.conv1.",
            r"trunk\.(\d+)\.rcb\.1\.": r"body.\1.bn1.",
            r"trunk\.(\d+)\.rcb\.2\.": r"body.\1.prelu.",
            r"trunk\.(\d+)\.rcb\.3\.": r"body.\1.conv2.",
            r"trunk\.(\d+)\.rcb\.4\.": r"body.\1.bn2.",
            r"conv(?:_block)?2\.0\.": "body.{conv}.",
            r"conv(?:_block)?2\.1\.": "body.{bn}.",
            r"upsampling\.(\d+)\.upsample_block\.": r"upsample.\1.",
            r"conv(?:_block)?3\.": "tail.",
        },
        last="tail",
    ),
    LEFTTHOMAS,
    # As the author released it in January 2018: block7 is a convolution and a PReLU.
    LEFTTHOMAS._replace(network=PReLUSRResNet, mark="block8.0.conv.weight"),
    # SRResNet, and SRGAN's generator, which wraps one as `net`: LR normalised with ImageNet's mean and deviation, tanh.
    Published(
        "sgrvinod/a-PyTorch-Tutorial-to-Super-Resolution",
        SRResNet,
        "residual_blocks.0.conv_block1.conv_block.0.weight",
        {
            r"conv_block1\.conv_block\.": "head.",
            r"residual_blocks\.(\d+)\.conv_block1\.conv_block\.0\.": r"body.\1.conv1.",
            r"residual_blocks\.(\d+)\.conv_block1\.conv_block\.1\.": r"body.\1.bn1.",
            r"residual_blocks\.(\d+)\.conv_block1\.conv_block\.2\.": r"body.\1.prelu.",
            r"residual_blocks\.(\d+)\.conv_block2\.conv_block\.0\.": r"body.\1.conv2.",
            r"residual_blocks\.(\d+)\.conv_block2\.conv_block\.1\.": r"body.\1.bn2.",
            r"conv_block2\.conv_block\.0\.": "body.{conv}.",
            r"conv_block2\.conv_block\.1\.": "body.{bn}.",
            r"subpixel_convolutional_blocks\.(\d+)\.conv\.": r"upsample.\1.0.",
            r"subpixel_convolutional_blocks\.(\d+)\.prelu\.": r"upsample.\1.2.",
            r"conv_block3\.conv_block\.0\.": "tail.",
        },
        tanh=True,
        normalisation=IMAGENET,
    ),
    # MSRResNet, MSRGAN: output nominally in [0, 1], not clamped.
    Published(
        "XPixelGroup/BasicSR",
        MSRResNet,
        "upconv1.weight",
        {
            r"conv_first\.": "head.0.",
            r"body\.(\d+)\.": r"body.\1.",
            r"upconv1\.": "upsample.0.",
            r"upconv2\.": "upsample.3.",
            r"conv_hr\.": "tail.0.",
            r"conv_last\.": "tail.2.",
        },
        last="tail.2",
        shift=0,  # it is added to the enlarged image, which carries the shift
    ),
]


def recognise(tensors: dict[str, Tensor]) -> Published | None:
    """The project to which these names belong, if it is one of `PUBLISHED`."""
    published = next((published for published in PUBLISHED if published.mark in tensors), None)
    if published and published.network is RRDBNet:
        # Real-ESRGAN's x2plus rearranges pixels first, ESRGAN+ has more convolutions, and numbered files of other
        # scales count otherwise: spandrel knows them.
        first = tensors.get("conv_first.weight", tensors.get("model.0.weight"))
        is_rgb = first is not None and first.shape[1:2] == (3,)
        is_x4 = ("model.0.weight" in tensors) == ("model.10.weight" in tensors)
        if not (is_rgb and is_x4) or any("conv1x1" in name for name in tensors):
            return None
    return published


def convert(tensors: dict[str, Tensor], published: Published) -> dict[str, Tensor]:
    """Rename a published generator's tensors, add missing biases and counters, scale the last convolution to [-1, 1].

    Unknown names are kept, so that strict loading reports them.
    """
    places = [
        int(name.split(".")[1]) for name in tensors if re.match(r"(trunk|residual_blocks|body|RRDB_trunk)\.\d+\.", name)
    ]
    blocks = max(places) + 1 if places else 5
    converted = {_rename(name, published.names, blocks): tensor for name, tensor in tensors.items()}
    for name, tensor in list(converted.items()):
        if re.fullmatch(r"body\.\d+\.(conv[12]\.)?weight", name) and tensor.ndim == 4 and tensor.numel():
            converted.setdefault(name.removesuffix("weight") + "bias", torch.zeros(tensor.shape[0]))
        if name.endswith(".running_mean"):
            # PyTorch before 0.4 didn't count batches, and nothing here depends on it.
            converted.setdefault(name.removesuffix("running_mean") + "num_batches_tracked", torch.tensor(0))
    if published.last:
        for part, shift in (("weight", 0), ("bias", published.shift)):
            name = f"{published.last}.{part}"
            if name in converted:
                converted[name] = 2 * converted[name] - shift
    return converted


def _rename(name: str, names: dict[str, str], blocks: int) -> str:
    for pattern, ours in names.items():
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", ours.format(conv=blocks, bn=blocks + 1), name)
    return name
