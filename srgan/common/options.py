"""The options that several commands have, as a parent of their parsers."""

import argparse

from srgan.common.precision import DEVICES, FORMATS


def device_options(precision: str | None = None) -> argparse.ArgumentParser:
    """`--device` and, if its default is given, `--precision`.

    For `argparse.ArgumentParser(parents=[...])`; `select_device` and `Precision` take what they give.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--device", choices=DEVICES, default="auto", help="auto: CUDA if there is a GPU, else the CPU")
    if precision:
        formats = ("auto", *FORMATS)
        parser.add_argument("--precision", choices=formats, default=precision, help="default: %(default)s")
    return parser
