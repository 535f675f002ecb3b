#!/usr/bin/env python3
"""Open a page to drop pictures on; `python app.py --help` has the options."""

from srgan.__main__ import run

if __name__ == "__main__":
    run("app")
