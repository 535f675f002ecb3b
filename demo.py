#!/usr/bin/env python3
"""Upscale pictures; `python demo.py --help` has the options."""

from srgan.upscaling.commands import upscale

if __name__ == "__main__":
    upscale()
