"""Save a network's images of many crops as pairs to train on, for a teacher too slow to run at each step.

    python -m scripts.teacher_images --config configs/srresnet_mse.yaml --weights x4plus.pth --out datasets/taught \\
        'data.folders=[photographs]' data.degradation.name=photo

`LR` holds crops made with the photographs and the degradation of a config for pretrain.py, or cut directly from the
files of `--lr`; `HR` holds the network's images of them. Crop n depends only on the seed and n, and existing ones are
kept.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from srgan.common.errors import command
from srgan.common.images import lr_tensor, to_levels, write_image
from srgan.common.options import device_options
from srgan.common.precision import Precision, select_device
from srgan.data.crops import CropDataset
from srgan.networks.network import Network
from srgan.networks.weights import load_network
from srgan.training.config import PretrainConfig, load_config
from srgan.training.loader import load_photographs

MARGIN = 4  # LR pixels around a crop that the network sees as well: it knows nothing beyond its image's border


def load_crops(config: PretrainConfig, crop: int, scale: int, lr: Sequence[Path] = ()) -> CropDataset:
    """The dataset whose LR crops the network sees: made of the config's photographs, or cut from the LR files."""
    side = crop + 2 * MARGIN
    if lr:
        return CropDataset(lr, scale=1, crop=side, cache=config.data.cache, seed=config.runtime.seed)
    return load_photographs(replace(config, data=replace(config.data, crop=side * scale)))


def write_pairs(network: Network, crops: CropDataset, out: Path, numbers: Sequence[int], precision: Precision) -> None:
    """Write the pairs of these numbers into `out/LR` and `out/HR`, but for those that are there."""
    for n in tqdm(numbers, unit="crop"):
        lr_path, hr_path = (out / kind / f"{n:06d}.png" for kind in ("LR", "HR"))
        if not hr_path.exists():  # the last to be written
            write_pair(network, crops[n][0], (lr_path, hr_path), precision)


@torch.inference_mode()
def write_pair(network: Network, lr: torch.Tensor, paths: tuple[Path, Path], precision: Precision) -> None:
    """Write the LR crop, uint8 h x h x 3, and the network's image of it, without their margins."""
    with precision.autocast():
        sr = network(lr_tensor(lr[None]).to(precision.device))[0]  # 3 x H x H
    image = to_levels(sr.float(), torch.uint8).permute(1, 2, 0).cpu()
    for path, array, margin in zip(paths, (lr, image), (MARGIN, MARGIN * network.scale), strict=True):
        write_image(path, array[margin:-margin, margin:-margin].numpy())


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[device_options(precision="auto")],
    )
    parser.add_argument("--config", type=Path, required=True, help="for pretrain.py: its photographs and degradation")
    parser.add_argument("--weights", type=Path, required=True, help="the network, as for demo.py --weights")
    parser.add_argument("--lr", nargs="+", type=Path, metavar="FOLDER", help="cut LR crops from these files instead")
    parser.add_argument("--crop", type=int, default=72, help="side of the LR crops (default: 72)")
    parser.add_argument("--first", type=int, default=0, help="number of the first crop")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="any key of the config")
    args = parser.parse_intermixed_args()
    precision = Precision(args.precision, select_device(args.device))
    network = load_network(args.weights).for_inference().to(precision.device)
    config = load_config(PretrainConfig, args.config, args.overrides)
    crops = load_crops(config, args.crop, network.scale, args.lr or ())
    write_pairs(network, crops, args.out, range(args.first, args.first + args.count), precision)


if __name__ == "__main__":
    main()
