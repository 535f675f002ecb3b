#!/usr/bin/env python3
"""Train SRResNet, the generator, by a content loss alone."""

from srgan.config import PretrainConfig
from srgan.errors import command
from srgan.stages import PretrainStage
from srgan.trainer import main


@command
def pretrain() -> int:
    return main(__doc__, PretrainConfig, PretrainStage, "configs/srresnet_mse.yaml")


if __name__ == "__main__":
    pretrain()
