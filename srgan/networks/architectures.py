"""The list of generators."""

from typing import Any

from srgan.networks.msrresnet import MSRResNet
from srgan.networks.network import TrainableNetwork
from srgan.networks.rrdbnet import RRDBNet
from srgan.networks.srresnet import SRResNet

# By their names in configs (`generator.type`) and weights files. To add one, write its class in its own file and list
# it here: its constructor's arguments are the other keys of that section. tests/test_architectures.py runs over all.
ARCHITECTURES: dict[str, type[TrainableNetwork]] = {
    "SRResNet": SRResNet,
    "MSRResNet": MSRResNet,
    "RRDBNet": RRDBNet,
}


def build(type: str, **arguments: Any) -> TrainableNetwork:
    """Create an untrained network.

    Args:
        type: a name in `ARCHITECTURES`.
        arguments: its constructor's.

    Raises:
        ValueError: an argument is out of range.
    """
    return ARCHITECTURES[type](**arguments)


def describe_network(network: TrainableNetwork) -> dict[str, Any]:
    """The arguments with which `build` creates an untrained network of the same architecture and size."""
    names = {kind: name for name, kind in ARCHITECTURES.items()}
    return {"architecture": names[type(network)], **network.arguments}
