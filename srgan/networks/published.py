"""Weights that other projects published for SRGAN's generator, under the names and in the ranges of the networks here.

What is known of each is the names and shapes of its tensors, and its images' ranges; all take RGB, LR in [0, 1] unless
it says otherwise. Nothing here is their code.
"""

import re
from typing import NamedTuple

import torch
from torch import Tensor

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PLAIN = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


class Published(NamedTuple):
    """How a project's generator differs from the network here that computes the same."""

    project: str
    architecture: str
    mark: str  # a tensor that no other project has
    names: dict[str, str]  # patterns of their names -> ours; {conv} and {bn} stand for the places after all blocks
    last: str | None = None  # our name of the last convolution, if its output y is in [0, 1] and has to be 2y - shift
    shift: int = 1
    tanh: bool = False  # its output goes through a tanh, into [-1, 1] (or [0, 1], which comes to the same)
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] = PLAIN  # mean and deviation of its input


PUBLISHED = [
    # SRResNet_x4 and SRGAN_x4: no biases before a batch norm, output clamped to [0, 1].
    Published(
        "Lornatang/SRGAN-PyTorch",
        "SRResNet",
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
    # netG: (tanh + 1) / 2.
    Published(
        "leftthomas/SRGAN",
        "SRResNet",
        "block8.0.conv.weight",
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
    ),
    # SRResNet, and SRGAN's generator, which holds one as `net`: LR normalised as ImageNet's, tanh.
    Published(
        "sgrvinod/a-PyTorch-Tutorial-to-Super-Resolution",
        "SRResNet",
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
    # MSRResNet and MSRGAN: not clamped, nominally [0, 1].
    Published(
        "XPixelGroup/BasicSR",
        "MSRResNet",
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
        shift=0,  # MSRResNet here shifts the image to which it adds this
    ),
]


def recognise(tensors: dict[str, Tensor]) -> Published | None:
    """The project whose names these are; None for any other's, and this one's."""
    return next((published for published in PUBLISHED if published.mark in tensors), None)


def convert(tensors: dict[str, Tensor], published: Published) -> dict[str, Tensor]:
    """A published generator's tensors under the names here; those of names that it shouldn't have keep theirs.

    The output's range becomes [-1, 1] where that takes no more than other weights in the last convolution.
    """
    places = [int(name.split(".")[1]) for name in tensors if re.match(r"(trunk|residual_blocks)\.\d+\.", name)]
    blocks = max(places) + 1 if places else 5
    converted = {_rename(name, published.names, blocks): tensor for name, tensor in tensors.items()}
    for name, tensor in list(converted.items()):
        if re.fullmatch(r"body\.\d+\.(conv[12]\.)?weight", name) and tensor.ndim == 4 and tensor.numel():
            converted.setdefault(name.removesuffix("weight") + "bias", torch.zeros(tensor.shape[0]))
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
