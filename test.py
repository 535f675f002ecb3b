#!/usr/bin/env python3
"""Score weights on benchmarks; `python test.py --help` has the options."""

from srgan.__main__ import run

if __name__ == "__main__":
    run("test")
