#!/usr/bin/env python3
"""Train SRGAN; `python train.py --help` has the options."""

from srgan.__main__ import run

if __name__ == "__main__":
    run("train")
