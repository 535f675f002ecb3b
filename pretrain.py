#!/usr/bin/env python3
"""Train SRResNet, the generator, by a content loss alone."""

from srgan.common.errors import command
from srgan.training.commands import main
from srgan.training.config import PretrainConfig
from srgan.training.stages import PretrainStage


@command
def pretrain() -> int:
    return main(__doc__, PretrainConfig, PretrainStage, "configs/srresnet_mse.yaml")


if __name__ == "__main__":
    pretrain()
