"""What training begins with: the generator of `init`, or an untrained one."""

from dataclasses import asdict
from pathlib import Path

from srgan.common.errors import UserError, warn
from srgan.common.shipped import shipped
from srgan.networks.architectures import build, describe_network
from srgan.networks.network import TrainableNetwork
from srgan.networks.released import released_weights
from srgan.networks.weights import load_generator
from srgan.training.config import PretrainConfig
from srgan.training.parsing import refusals


def initial_generator(config: PretrainConfig, resuming: bool = False) -> TrainableNetwork:
    """The generator of `init`, or an untrained one. One of another scale gives the tensors that both have.

    Args:
        resuming: a checkpoint is about to fill it: `init` need not be there any more.

    Raises:
        UserError: nothing at `init`, or a generator that differs from the config's in more than its scale.
    """
    shape = config.generator
    if resuming or not config.init:
        return _untrained(config)
    if not shipped(Path(config.init)).exists() and config.init not in released_weights():
        raise UserError(
            f"init: expected a generator's weights or run folder, found nothing at {config.init}; "
            "run pretrain.py first, or take init=weights/srresnet_x4.safetensors"
        )
    trained = load_generator(Path(config.init))
    wanted = {"architecture": shape.type, **asdict(shape)}
    for name, found in describe_network(trained).items():
        if name != "scale" and found != wanted[name]:
            key = "type" if name == "architecture" else name
            raise UserError(f"init: {config.init} has {name} {found}, the config says generator.{key}: {wanted[name]}")
    return trained if trained.scale == shape.scale else _rescaled(trained, _untrained(config))


def _untrained(config: PretrainConfig) -> TrainableNetwork:
    with refusals("generator"):
        return build(**asdict(config.generator))


def _rescaled(trained: TrainableNetwork, generator: TrainableNetwork) -> TrainableNetwork:
    """A generator of another scale that begins with the tensors that it shares with a trained one."""
    theirs, ours = trained.state_dict(), generator.state_dict()
    shared = {name: theirs[name] for name in ours if name in theirs and theirs[name].shape == ours[name].shape}
    warn(
        f"init is a network for x{trained.scale}: {len(shared)} of the {len(ours)} tensors of that for "
        f"x{generator.scale} begin with its values"
    )
    generator.load_state_dict(shared, strict=False)
    return generator
