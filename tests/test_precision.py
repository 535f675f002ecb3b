"""Mixed precision computes the gradients of fp32; formats and compilers that aren't there are one line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from torch import Tensor

from srgan.common.errors import UserError
from srgan.common.images import hr_tensor, lr_tensor
from srgan.common.precision import Precision, select_device
from srgan.data.resize import imresize
from srgan.networks.losses import VGGLoss
from srgan.networks.srresnet import SRResNet
from srgan.networks.vgg import VGGFeatures


@pytest.mark.usefixtures("any_format")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_gradients_of_a_vgg_loss(vgg19: Path, astronaut: np.ndarray, precision: str) -> None:
    """In a batch of 16, the gradient of VGG22's loss with respect to a feature is some 1e-10; fp16's smallest normal
    number is 6e-5. GradScaler's initial scale of 65536 is enough."""
    hr = astronaut[None, 96:144, 208:256]
    lr = imresize(hr[0], 1 / 4)[None]
    loss = VGGLoss(VGGFeatures("vgg22", str(vgg19)), factor=6e-7)
    generator = SRResNet(blocks=1, channels=16)

    def gradients(name: str) -> Tensor:
        generator.zero_grad()
        mixed = Precision(name, torch.device("cpu"))
        with mixed.autocast():
            # Divided as if these were 1/64 of the pixels of 16 crops of 96 x 96.
            value = loss(generator(lr_tensor(lr)), hr_tensor(hr)) / 64
        mixed.backward(value)
        return torch.cat([p.grad.flatten() for p in generator.parameters()]) / mixed.scaler.get_scale()

    expected, found = gradients("fp32"), gradients(precision)
    assert (found - expected).norm() < 0.05 * expected.norm()


def test_the_device_is_chosen_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, chosen in ((True, True, "cuda"), (False, True, "cpu"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert select_device("auto").type == chosen
        for name, there in (("cuda", cuda), ("mps", mps)):
            if there:
                assert select_device(name).type == name
            else:
                with pytest.raises(UserError, match=f"--device {name}: this PyTorch finds no"):
                    select_device(name)


@pytest.mark.parametrize(("supported", "others"), [((False, True), "fp32 or bf16"), ((False, False), "fp32")])
def test_a_format_that_the_cpu_lacks(
    supported: tuple[bool, bool], others: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every command, before any work: fp16 on a CPU from before 2023, bf16 on one without AVX-512."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    formats = dict(zip(("fp16", "bf16"), supported, strict=True))
    for name, has in formats.items():
        monkeypatch.setattr(torch.ops.mkldnn, f"_is_mkldnn_{name}_supported", lambda has=has: has)
    for name in (name for name, has in formats.items() if not has):
        message = f"precision {name}: this CPU doesn't support it: use auto, {others}$"
        with pytest.raises(UserError, match=message):
            Precision(name, torch.device("cpu"))
    assert Precision("fp32", torch.device("cpu")).dtype is torch.float32


def test_what_compiling_lacks_is_one_line(tmp_path: Path) -> None:
    """Before any photograph is decoded, with nothing in the compiler's cache and no compiler to be found."""
    config = REPOSITORY / "configs" / "smoke_pretrain.yaml"
    done = subprocess.run(
        [sys.executable, REPOSITORY / "pretrain.py", "--config", config, "runtime.compile=true", "--device", "cpu"],
        cwd=tmp_path,
        env=os.environ
        | {"PATH": str(tmp_path), "CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"error: torch\.compile doesn't work here: .*\(g\+\+\).* turn runtime\.compile .* off\n", done.stderr
    )
    assert not list(tmp_path.glob("datasets"))
