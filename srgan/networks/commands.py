"""The command lines of `srgan export` and `srgan interpolate`."""

import argparse
from pathlib import Path

from srgan.common.errors import UserError, command


@command
def export() -> None:
    """Write a generator as ONNX (.onnx) or as a program of torch.export (.pt2), for images of any size."""
    parser = argparse.ArgumentParser(description=export.__doc__)
    parser.add_argument("weights", type=Path, nargs="?", metavar="WEIGHTS", help="weights, checkpoint or run folder")
    parser.add_argument("out", type=Path, nargs="?", metavar="OUT", help="a file that ends with .onnx or .pt2")
    parser.add_argument("--fp16", action="store_true", help="weights, input and output in half precision")
    parser.add_argument(
        "--web", type=Path, metavar="FOLDER", help="instead: all released networks, for the page of web/"
    )
    args = parser.parse_args()
    if not (args.out or args.web) or (args.web and (args.weights or args.fp16)):
        raise UserError("expected WEIGHTS and OUT, or --web FOLDER alone")
    import torch

    if args.web:
        from srgan.networks.web import write_web_networks

        print(f"written: {args.web}: {', '.join(write_web_networks(args.web))}")
        return
    from srgan.networks.export import write_network

    difference = write_network(args.weights, args.out, torch.float16 if args.fp16 else torch.float32)
    print(f"written: {args.out}, at most {difference:.1e} of [0, 1] from PyTorch in fp32")


@command
def interpolate() -> None:
    """Mix a generator trained on pixels with the GAN that came from it: less noise, or crisper.

    Every weight is (1 - alpha) * PIXELS + alpha * GAN: network interpolation (ESRGAN, Wang et al. 2018, section 3.4).
    """
    parser = argparse.ArgumentParser(description=interpolate.__doc__)
    parser.add_argument("pixels", type=Path, metavar="PIXELS", help="weights or run folder of pretrain.py")
    parser.add_argument("gan", type=Path, metavar="GAN", help="weights or run folder of train.py, begun from PIXELS")
    parser.add_argument("alpha", type=float, metavar="ALPHA", help="the GAN's part, 0 to 1")
    parser.add_argument("out", type=Path, metavar="OUT", help="the mixed weights, .safetensors")
    args = parser.parse_args()
    from srgan.networks.interpolate import mix

    mix(args.pixels, args.gan, args.alpha, args.out)
    print(f"mixed weights: {args.out}")
