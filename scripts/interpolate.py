#!/usr/bin/env python3
"""Mix a generator trained on pixels with the GAN that came from it: less noise than the one, crisper than the other.

    python -m scripts.interpolate weights/srresnet_x4.safetensors runs/srgan_vgg54 0.7 mixed.safetensors

Every weight is (1 - alpha) * PIXELS + alpha * GAN: network interpolation (ESRGAN, Wang et al. 2018, section 3.4).
"""

import argparse
from pathlib import Path

import torch

from srgan.common.errors import UserError, command
from srgan.networks.weights import load_generator, save_weights


@command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pixels", type=Path, metavar="PIXELS", help="weights or run folder of pretrain.py")
    parser.add_argument("gan", type=Path, metavar="GAN", help="weights or run folder of train.py, begun from PIXELS")
    parser.add_argument("alpha", type=float, metavar="ALPHA", help="the GAN's part, 0 to 1")
    parser.add_argument("out", type=Path, metavar="OUT", help="the mixed weights, .safetensors")
    args = parser.parse_args()
    if not 0 <= args.alpha <= 1:
        raise UserError(f"ALPHA: expected 0 to 1, found {args.alpha}")
    if args.out.suffix != ".safetensors":
        raise UserError(f"OUT: expected a name that ends with .safetensors, found {args.out}")

    pixels, gan = load_generator(args.pixels), load_generator(args.gan)
    shapes = [(network.scale, network.blocks, network.channels) for network in (pixels, gan)]
    if shapes[0] != shapes[1]:
        raise UserError(f"expected networks of one (scale, blocks, channels), found {shapes[0]} and {shapes[1]}")
    for mixed, other in zip(gan.state_dict().values(), pixels.state_dict().values(), strict=True):
        if mixed.is_floating_point():
            mixed.copy_(torch.lerp(other, mixed, args.alpha))
    save_weights(gan, args.out, pixels=args.pixels.name, gan=args.gan.name, alpha=args.alpha)
    print(f"mixed weights: {args.out}")


if __name__ == "__main__":
    main()
