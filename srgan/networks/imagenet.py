"""ImageNet weights of other networks, which torchvision downloads to its cache."""

from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from srgan.common import parallel
from srgan.common.errors import UserError, describe

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum


def download(weights: "WeightsEnum", purpose: str, option: str) -> dict[str, Tensor]:
    """The tensors of torchvision's weights, under torchvision's names, on the CPU.

    Args:
        purpose: what needs them, for the error's message.
        option: how the user names a file of them instead.

    Raises:
        UserError: they can't be downloaded, or aren't what torchvision expects.
    """
    try:
        return parallel.main_process_first(lambda: weights.get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError, HTTPException, EOFError, UnpicklingError) as error:
        cache = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        raise UserError(
            f"{purpose} needs {type(weights).__name__.removesuffix('_Weights')}'s ImageNet weights and they could not "
            f"be downloaded ({describe(error)}); fetch {weights.url} elsewhere and put it at {cache}, "
            f"or name the file: {option}"
        ) from error
