#!/usr/bin/env python3
"""Upscale pictures; `python demo.py --help` has the options."""

from srgan.__main__ import run

if __name__ == "__main__":
    run("upscale")
