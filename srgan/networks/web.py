"""The released networks for the page of `web/`: ONNX with weights in fp16, and a list of them.

Each is in two parts, so that the page can cut an image as `Upscaler` does: `features` works on LR pixels and sees far,
`reconstruct` makes four times as many and sees three pixels far. Both compute in fp32. The result isn't clamped to
[0, 1]: of grey images the page takes the luma first, as `Upscaler` does.
"""

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srgan.common.errors import UserError
from srgan.common.files import whole_file
from srgan.networks.export import TOLERANCE, largest_difference, optional, to_onnx
from srgan.networks.interpolate import load_with_strength
from srgan.networks.network import Network
from srgan.networks.released import released_weights
from srgan.networks.weights import load_network

STRENGTHS = 0, 0.25, 0.5, 0.75, 1
# What the page runs to see that the browser computes the same: every so many values of the result.
CHECK_SIZE, CHECK_STEP = 24, 499


class Halves(nn.Module):
    """A network for inference with its features, and its output in [0, 1] and somewhat beyond."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network.for_inference()

    def forward(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.features(lr)
        return features, (self.network.reconstruct(features) + 1) / 2


def write_web_networks(folder: Path) -> list[str]:
    """Write each released network, and the mixtures of each GAN and its SRResNet, into a folder, with `networks.json`.

    Returns:
        The names, such as "srgan-0.25", which is `load_with_strength` at 0.25.

    Raises:
        UserError: a package or the weights are missing, a file can't be written, or an exported network computes
            something else.
    """
    released = released_weights()
    if not released:
        raise UserError("expected released weights, such as weights/srgan_x4.safetensors, found none")
    entries = []
    for name, path in released.items():
        pixels = name.replace("srgan", "srresnet")
        mixed = STRENGTHS[1:-1] if name != pixels and pixels in released else ()
        for strength in (*mixed, None):
            network = load_network(path) if strength is None else load_with_strength(path, strength)
            label = name if strength is None else f"{name}-{strength}"
            entries.append({"name": label} | write_halves(network, folder, label))
    with whole_file(folder / "networks.json") as part:
        part.write_text(json.dumps(entries, indent=1) + "\n")
    return [entry["name"] for entry in entries]


def write_halves(network: Network, folder: Path, name: str) -> dict[str, Any]:
    """Write `NAME.features.onnx` and `NAME.reconstruct.onnx`.

    Returns:
        scale, receptive_radius and upsample_radius of the network, and `check`: values of its result for
        `check_image`, unclamped.

    Raises:
        UserError: as `write_web_networks`.
    """
    onnx, runtime = map(optional, ("onnx", "onnxruntime"))
    halves = Halves(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch's exporter at itself
        whole = onnx.utils.Extractor(to_onnx(halves, torch.float32, ("features", "sr")))
    cuts = {"features": (["lr"], ["features"]), "reconstruct": (["features"], ["sr"])}
    parts = {part: in_half(whole.extract_model(*cut)).SerializeToString() for part, cut in cuts.items()}
    sessions = {part: runtime.InferenceSession(model) for part, model in parts.items()}

    def exported(lr: Tensor) -> Tensor:
        (features,) = sessions["features"].run(["features"], {"lr": lr.numpy()})
        (sr,) = sessions["reconstruct"].run(["sr"], {"features": features})
        return torch.from_numpy(sr)

    difference = largest_difference(lambda lr: halves(lr)[1], exported, torch.float32)
    if not difference <= TOLERANCE[torch.float16]:
        raise UserError(f"{name}: not written: the exported network is {difference:.1e} of [0, 1] off PyTorch's")
    for part, model in parts.items():
        with whole_file(folder / f"{name}.{part}.onnx") as file:
            file.write_bytes(model)
    with torch.inference_mode():
        values = halves(check_image())[1].flatten()[::CHECK_STEP]
    return {
        "scale": network.scale,
        "receptive_radius": network.receptive_radius,
        "upsample_radius": network.upsample_radius,
        "check": [round(value, 4) for value in values.tolist()],
    }


def check_image() -> Tensor:
    """1 x 3 x 24 x 24 in [0, 1], which the page makes, too."""
    count = 3 * CHECK_SIZE**2
    return (torch.arange(count) * 37 % 101 / 100).reshape(1, 3, CHECK_SIZE, CHECK_SIZE)


def in_half(model: Any) -> Any:
    """An ONNX model, changed in place: its weights in fp16, each behind a cast to fp32, which runtimes do at once."""
    onnx = optional("onnx")
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            stored = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype("float16"))
            stored.name = f"{tensor.name}.half"
            casts.append(onnx.helper.make_node("Cast", [stored.name], [tensor.name], to=onnx.TensorProto.FLOAT))
            tensor.CopyFrom(stored)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model
