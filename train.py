#!/usr/bin/env python3
"""Train SRGAN; `python train.py --help` has the options."""

from srgan.training.commands import train

if __name__ == "__main__":
    train()
