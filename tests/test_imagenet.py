"""The metrics and the loss that download: nothing is replaced but the connection to the server."""

import hashlib
import socket
import threading
from collections.abc import Callable
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import models

from srgan.common.errors import UserError
from srgan.evaluation.metrics import Protocol, load_metrics
from srgan.networks.vgg import VGGFeatures

NETWORKS = {
    "lpips": (models.alexnet, models.AlexNet_Weights),
    "lpips_vgg": (models.vgg16, models.VGG16_Weights),
    "lpips_squeeze": (models.squeezenet1_1, models.SqueezeNet1_1_Weights),
    "vgg22": (models.vgg19, models.VGG19_Weights),
}

Serve = Callable[[bytes], list[str]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Serve:
    """Any HTTPS address answers with these bytes; returns the list of the paths that were asked for."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))

    def serve(content: bytes) -> list[str]:
        asked = []

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                pass

        def connect(connection: HTTPSConnection) -> None:
            client, served = socket.socketpair()
            connection.sock = client
            # A server that never listens: it is handed the other end.
            server = HTTPServer(("", 0), Answer, bind_and_activate=False)
            threading.Thread(target=lambda: server.finish_request(served, ("", 0)), daemon=True).start()

        monkeypatch.setattr(HTTPSConnection, "connect", connect)
        return asked

    return serve


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_metrics_fetch_their_networks(
    name: str, serve: Serve, monkeypatch: pytest.MonkeyPatch, astronaut: np.ndarray, tmp_path: Path
) -> None:
    """The first use downloads, the second one takes the cache; the distance is that of a file of the same weights."""
    if name.startswith("lpips"):
        pytest.importorskip("lpips")
    make, weights = NETWORKS[name]
    # As the server has them, without the layers that nothing here needs: those of AlexNet and VGG are 500 MB.
    with torch.device("meta"):
        shapes = {key: x.shape for key, x in make().state_dict().items() if key.startswith("features.")}
    buffer = BytesIO()
    torch.save({key: torch.randn(shape) / 8 for key, shape in shapes.items()}, buffer)
    (tmp_path / "file.pth").write_bytes(buffer.getvalue())
    # torchvision compares a file with the hash in its name.
    url = f"https://download.pytorch.org/models/x-{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.pth"
    monkeypatch.setattr(weights.IMAGENET1K_V1.value, "url", url)
    asked = serve(buffer.getvalue())
    image, reference = astronaut[:64, :64], astronaut[64:128, :64]
    scores = [Protocol(4, metrics=load_metrics([spec])).score(image, reference) for spec in (name, name)]
    assert asked == [url.removeprefix("https://download.pytorch.org")]
    assert scores[0] == scores[1]
    assert scores[0] == Protocol(4, metrics=load_metrics([f"{name}={tmp_path / 'file.pth'}"])).score(image, reference)
    assert scores[0][name] > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_without_a_connection(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One line: what is needed, where to fetch it, where to put it, or how to name a file."""
    if name.startswith("lpips"):
        pytest.importorskip("lpips")

    def refuse(*_: object) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("", 443))])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError) as error:
        load_metrics([name])
    url = NETWORKS[name][1].IMAGENET1K_V1.url
    cache = tmp_path / "hub" / "checkpoints" / Path(url).name
    assert f"could not be downloaded (<urlopen error [Errno 111] Connection refused>); fetch {url} " in str(error.value)
    assert f" put it at {cache}, or name the file: " in str(error.value)
    assert str(error.value).endswith(f"{name}=FILE")
    assert len(str(error.value).splitlines()) == 1


def test_a_page_in_place_of_weights(serve: Serve) -> None:
    """As from a hotel's network that wants a password first."""
    serve(b"<html>Welcome!</html>")
    with pytest.raises(UserError, match=r"vgg54 needs VGG19's ImageNet weights .*invalid hash value.*vgg54=FILE"):
        VGGFeatures("vgg54")
