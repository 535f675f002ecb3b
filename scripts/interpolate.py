"""Mix a generator trained on pixels with the GAN that came from it: less noise than the one, crisper than the other.

    python -m scripts.interpolate weights/srresnet_x4.safetensors runs/srgan_vgg54 0.7 mixed.safetensors

Every weight is (1 - alpha) * PIXELS + alpha * GAN: network interpolation (ESRGAN, Wang et al. 2018, section 3.4).
"""

import argparse
from pathlib import Path

from srgan.common.errors import UserError, command
from srgan.networks.interpolate import interpolate
from srgan.networks.weights import find_weights, load_generator, save_weights


@command
def main() -> None:
    """Mix a generator trained on pixels with the GAN that came from it: less noise than one, crisper than the other."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("pixels", type=Path, metavar="PIXELS", help="weights or run folder of pretrain.py")
    parser.add_argument("gan", type=Path, metavar="GAN", help="weights or run folder of train.py, begun from PIXELS")
    parser.add_argument("alpha", type=float, metavar="ALPHA", help="the GAN's part, 0 to 1")
    parser.add_argument("out", type=Path, metavar="OUT", help="the mixed weights, .safetensors")
    args = parser.parse_args()
    mix(args.pixels, args.gan, args.alpha, args.out)
    print(f"mixed weights: {args.out}")


def mix(pixels: Path, gan: Path, alpha: float, out: Path) -> None:
    """Write (1 - alpha) * pixels + alpha * gan, weight by weight.

    Raises:
        UserError: alpha is not in 0..1, the networks are not of one architecture and size, or `out` is one of them.
    """
    if out.suffix != ".safetensors":
        raise UserError(f"OUT: expected a name that ends with .safetensors, found {out}")
    if out.exists() and any(out.samefile(find_weights(source)) for source in (pixels, gan)):
        raise UserError(f"OUT: {out} is one of the two networks: take another name")
    mixed = interpolate(load_generator(pixels), load_generator(gan), alpha)
    save_weights(mixed, out, pixels=pixels.name, gan=gan.name, alpha=alpha)


if __name__ == "__main__":
    main()
