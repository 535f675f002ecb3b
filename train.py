#!/usr/bin/env python3
"""Train SRGAN: the generator, started from SRResNet's weights, and the discriminator in turn."""

from srgan.common.errors import command
from srgan.training.commands import main
from srgan.training.config import AdversarialConfig
from srgan.training.stages import AdversarialStage


@command
def train() -> int:
    return main(__doc__, AdversarialConfig, AdversarialStage, "configs/srgan_vgg54.yaml")


if __name__ == "__main__":
    train()
