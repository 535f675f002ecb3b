"""Network interpolation between a generator trained on pixels and the GAN that came from it (ESRGAN, section 3.4)."""

from pathlib import Path

import torch

from srgan.common.errors import UserError
from srgan.networks.architectures import describe_network
from srgan.networks.network import TrainableNetwork
from srgan.networks.weights import find_weights, load_generator, save_weights


@torch.no_grad()
def interpolate(pixels: TrainableNetwork, gan: TrainableNetwork, alpha: float) -> TrainableNetwork:
    """(1 - alpha) * pixels + alpha * gan, tensor by tensor (Wang et al. 2018), in place of `gan`.

    Raises:
        UserError: alpha is not in 0..1, or the networks are not of one architecture and size.
    """
    if not 0 <= alpha <= 1:
        raise UserError(f"expected a strength of 0 to 1, found {alpha}")
    ours, theirs = (", ".join(f"{name} {value}" for name, value in describe_network(n).items()) for n in (pixels, gan))
    if ours != theirs:
        raise UserError(f"expected two networks alike, found {ours} and {theirs}")
    for tensor, other in zip(gan.state_dict().values(), pixels.state_dict().values(), strict=True):
        if tensor.is_floating_point():
            tensor.copy_(torch.lerp(other, tensor, alpha))
    return gan


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


def load_with_strength(weights: Path, strength: float) -> TrainableNetwork:
    """A GAN and the SRResNet beside it, mixed: `srgan_x4` and `srresnet_x4`, of which either may be named.

    Args:
        weights: as `load_generator` takes them.
        strength: 0 for SRResNet, 1 for the GAN.

    Raises:
        UserError: as `load_generator` and `interpolate`; or the weights are of no such pair.
    """
    named = find_weights(weights)
    stem = named.name.replace("srresnet", "srgan")
    gan, pixels = named.with_name(stem), named.with_name(stem.replace("srgan", "srresnet"))
    if pixels == gan or not (gan.exists() and pixels.exists()):
        raise UserError(
            f"--strength mixes srgan with srresnet: leave --weights out, or name weights srgan... or srresnet... that "
            f"have the other's beside them, not {named}; for others: python -m srgan interpolate"
        )
    return interpolate(load_generator(pixels), load_generator(gan), strength)
