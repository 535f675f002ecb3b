#!/usr/bin/env python3
"""Score weights on benchmarks; `python test.py --help` has the options."""

from srgan.evaluation.commands import test

if __name__ == "__main__":
    test()
