"""`srgan COMMAND`, or `python -m srgan COMMAND`: what the scripts of a clone do, for an installed package."""

import os
import sys
from importlib import import_module

from srgan.common.interrupts import end_at_ctrl_c

COMMANDS = {
    "upscale": ("srgan.application.commands", "upscale pictures (demo.py)"),
    "test": ("srgan.evaluation.commands", "score weights on benchmark images (test.py)"),
    "pretrain": ("srgan.training.commands", "train SRResNet, the generator, by a content loss (pretrain.py)"),
    "train": ("srgan.training.commands", "train SRGAN, from a pretrained generator (train.py)"),
    "download_div2k": ("srgan.data.div2k", "fetch the photographs to train on (scripts/download_div2k.py)"),
    "interpolate": ("srgan.networks.commands", "mix two networks (scripts/interpolate.py)"),
    "export": ("srgan.networks.commands", "write a network as ONNX (scripts/export.py)"),
    "rating": ("srgan.application.opinions", "ask people: an opinion test (scripts/rating.py)"),
}


def run(name: str) -> None:
    """Import a command, which takes seconds, and run it."""
    end_at_ctrl_c()
    os.environ["MPLBACKEND"] = "agg"  # charts go into files; a notebook sets one that is there in the notebook alone
    getattr(import_module(COMMANDS[name][0]), name)()


def main() -> None:
    """Run the command that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        # As argparse and the messages shall show it.
        sys.argv[:2] = [f"srgan {name}"]
        run(name)
    elif name in ("-h", "--help"):
        print("usage: srgan COMMAND ...; srgan COMMAND --help has its options\n")
        for known, (_, summary) in COMMANDS.items():
            print(f"  {known:14} {summary}")
    else:
        print(f"error: expected srgan {'|'.join(COMMANDS)}, found {name!r}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
