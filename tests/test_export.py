"""Exported networks compute what PyTorch does, and torch.hub finds the released ones."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import REPOSITORY, randomised

from srgan.common.errors import NotFiniteError, UserError
from srgan.networks import commands, export
from srgan.networks.architectures import build
from srgan.networks.web import write_halves
from srgan.networks.weights import load_network, save_weights


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "x.safetensors"
    save_weights(randomised(build("SRResNet", blocks=1, channels=8)), path)
    return path


def test_onnx(tmp_path: Path, weights: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    out = tmp_path / "x.onnx"
    assert export.write_network(weights, out) < 1e-4
    model = onnx.load(out)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["scale"] == "4"
    assert facts["input"] == "lr: N x 3 x H x W, RGB in [0, 1], float32"
    assert (model.ir_version, model.opset_import[0].version) == (8, 18), "ONNX of 2022"
    kinds = {node.op_type for node in model.graph.node}
    assert kinds == {"Conv", "LeakyRelu", "Add", "DepthToSpace", "Div", "Clip"}, "batch norms are folded"
    sides = [side.dim_param or side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim]
    assert sides == ["batch", 3, "height", "width"]
    # Any size, several at once: what the check of the export didn't see.
    sr = export.read_onnx(out)(torch.rand(3, 3, 5, 9))
    assert sr.shape == (3, 3, 20, 36)
    assert 0 <= sr.min() < sr.max() <= 1


def test_onnx_in_fp16(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    save_weights(randomised(build("MSRResNet", scale=3, blocks=1, channels=8)), tmp_path / "x.safetensors")
    assert 1e-5 < export.write_network(tmp_path / "x.safetensors", tmp_path / "x.onnx", torch.float16) < 1 / 255
    model = onnx.load(tmp_path / "x.onnx")
    types = {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    assert types == {onnx.TensorProto.FLOAT16}


def test_halves_for_the_page(tmp_path: Path) -> None:
    onnx, runtime = map(pytest.importorskip, ("onnx", "onnxruntime"))
    pytest.importorskip("onnxscript")
    network = randomised(build("SRResNet", blocks=1, channels=8))
    facts = write_halves(network, tmp_path, "x")
    assert (facts["scale"], facts["receptive_radius"], facts["upsample_radius"]) == (4, 10, 3)
    assert len(facts["check"]) == 56, "each 499th of 3 x 96 x 96"
    for part in ("features", "reconstruct"):
        stored = {tensor.data_type for tensor in onnx.load(tmp_path / f"x.{part}.onnx").graph.initializer}
        assert onnx.TensorProto.FLOAT16 in stored
        assert onnx.TensorProto.FLOAT not in stored
    features, reconstruct = (runtime.InferenceSession(tmp_path / f"x.{p}.onnx") for p in ("features", "reconstruct"))
    lr = 4 * torch.rand(1, 3, 30, 20)  # as far from black and white as the result of a sharp edge
    (seen,) = features.run(None, {"lr": lr.numpy()})
    (sr,) = reconstruct.run(None, {"features": seen[..., 5:]})
    with torch.inference_mode():
        expected = (network(lr) + 1) / 2
    assert not 0 <= expected.min() <= expected.max() <= 1, "what luma is made of, unclamped"
    near = facts["upsample_radius"]
    difference = torch.from_numpy(sr)[..., 4 * near :] - expected[..., 4 * (5 + near) :]
    assert difference.abs().max() < 1 / 255, "what is cut off the features changes nothing three pixels away"


@pytest.mark.parametrize("arguments", [[], ["x.safetensors"], ["--web", "out", "--fp16"], ["a", "b", "--web", "out"]])
def test_arguments_that_do_not_fit(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["export", *arguments])
    with pytest.raises(SystemExit, match="2"):
        commands.export()
    assert "expected WEIGHTS and OUT, or --web FOLDER alone" in capsys.readouterr().err


def test_program_of_torch_export(tmp_path: Path, weights: Path) -> None:
    assert export.write_network(weights, tmp_path / "x.pt2") < 1e-4
    facts = {"scale": ""}
    program = torch.export.load(tmp_path / "x.pt2", extra_files=facts)
    assert facts["scale"] == "4"
    assert program.module()(torch.rand(1, 3, 7, 11)).shape == (1, 3, 28, 44)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc, where nobody can write")
def test_a_folder_that_cannot_be_written(weights: Path) -> None:
    with pytest.raises(UserError, match=r"^/proc/x\.pt2: can't be written: "):
        export.write_network(weights, Path("/proc/x.pt2"))


def test_a_difference_is_not_written(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "read_program", lambda path: lambda lr: torch.zeros(1))
    with pytest.raises(UserError, match=r"x\.pt2: not written: the exported network is .* off PyTorch's"):
        export.write_network(weights, tmp_path / "x.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_mistakes(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"OUT: expected a name that ends with \.onnx or \.pt2, found "):
        export.write_network(weights, tmp_path / "x.pth")
    monkeypatch.setattr(torch.onnx, "export", None)
    packages = ("onnx", "onnxscript", "onnxruntime")
    for missing in packages:
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None if package == missing else SimpleNamespace())
        with pytest.raises(UserError, match=f"{missing} is missing: pip install onnx onnxscript onnxruntime"):
            export.write_network(weights, tmp_path / "x.onnx")


@pytest.mark.parametrize("name", ["srresnet_x4", "srgan_x4", "srresnet_photo_x4", "srgan_photo_x4"])
def test_torch_hub_from_a_clone(name: str) -> None:
    network = torch.hub.load(str(REPOSITORY), name, source="local")
    assert not network.training
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 8, 9)).shape == (1, 3, 32, 36)


def test_the_network_itself_is_not_overwritten(tmp_path: Path) -> None:
    torch.save(build("SRResNet", blocks=1, channels=8).state_dict(), tmp_path / "x.pt2")
    before = (tmp_path / "x.pt2").read_bytes()
    with pytest.raises(UserError, match=r"OUT: .*x\.pt2 is the network itself: take another name"):
        export.write_network(tmp_path / "x.pt2", tmp_path / "x.pt2")
    assert (tmp_path / "x.pt2").read_bytes() == before


@pytest.mark.parametrize(("name", "value"), [("body.0.bn1.running_var", -1), ("tail.weight", 1e30)])
def test_a_network_that_gives_no_picture_is_not_written(tmp_path: Path, name: str, value: float) -> None:
    network = randomised(build("SRResNet", blocks=1, channels=8))
    network.state_dict()[name].fill_(value)
    save_weights(network, tmp_path / "x.safetensors")
    with pytest.raises(NotFiniteError, match=r"x\.safetensors: expected a picture, the network gives NaN"):
        export.write_network(tmp_path / "x.safetensors", tmp_path / "x.pt2")
    assert not (tmp_path / "x.pt2").exists()


def test_a_difference_of_nan_is_no_small_one(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nan_for_the_last(lr: torch.Tensor) -> torch.Tensor:
        sr = load_network(weights)(lr) / 2 + 0.5
        return sr.clamp(0, 1) if lr.shape[2] > 1 else sr * torch.nan

    monkeypatch.setattr(export, "read_program", lambda path: nan_for_the_last)
    with pytest.raises(UserError, match="not written: the exported network is nan"):
        export.write_network(weights, tmp_path / "x.pt2")
