"""The list of architectures."""

from srgan.networks.msrresnet import MSRResNet
from srgan.networks.network import TrainableNetwork
from srgan.networks.srresnet import SRResNet

# By their names in configs (`generator.architecture`) and weights files. To add one, write its class in its own file
# and list it here; tests/test_architectures.py runs over all of them.
ARCHITECTURES: dict[str, type[TrainableNetwork]] = {
    "SRResNet": SRResNet,
    "MSRResNet": MSRResNet,
}


def build(architecture: str, **arguments: int) -> TrainableNetwork:
    """Create an untrained network.

    Args:
        architecture: a name in `ARCHITECTURES`.
        arguments: its constructor's.

    Raises:
        ValueError: an argument is out of range.
    """
    return ARCHITECTURES[architecture](**arguments)


def describe_network(network: TrainableNetwork) -> dict[str, str | int]:
    """The arguments with which `build` creates an untrained network of the same architecture and size."""
    names = {kind: name for name, kind in ARCHITECTURES.items()}
    return {"architecture": names[type(network)], **network.arguments}
