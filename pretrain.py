#!/usr/bin/env python3
"""Train SRResNet; `python pretrain.py --help` has the options."""

from srgan.training.commands import pretrain

if __name__ == "__main__":
    pretrain()
