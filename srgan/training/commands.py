"""The command lines of `pretrain.py` and `train.py`, alias `srgan pretrain` and `srgan train`."""

import argparse
from pathlib import Path

import yaml

from srgan.common.errors import command
from srgan.common.options import device_options
from srgan.common.precision import select_device
from srgan.training.config import AdversarialConfig, PretrainConfig, load_config
from srgan.training.parsing import to_dict
from srgan.training.stages import AdversarialStage, PretrainStage, Stage
from srgan.training.trainer import Trainer


@command
def pretrain() -> int:
    """Train SRResNet, the generator, by a content loss alone."""
    return _run(pretrain.__doc__, PretrainConfig, PretrainStage, "configs/srresnet_mse.yaml")


@command
def train() -> int:
    """Train SRGAN: the generator, from SRResNet's weights, and the discriminator in turn."""
    return _run(train.__doc__, AdversarialConfig, AdversarialStage, "configs/srgan_vgg54.yaml")


def _run(description: str | None, config_type: type[PretrainConfig], stage_type: type[Stage], default: str) -> int:
    parser = argparse.ArgumentParser(description=description, parents=[device_options()])
    parser.add_argument("--config", type=Path, default=default, help=f"YAML file (default: {default})")
    parser.add_argument("--resume", action="store_true", help="continue from the run's last checkpoint")
    parser.add_argument("--allow-config-change", action="store_true", help="resume although the config has changed")
    parser.add_argument("--runs", type=Path, default="runs", help="folder of the run folders (default: runs)")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved config and stop")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="section.key=value",
        help="any key of the config, such as optimizer.lr=2e-4 or data.folders=photos; lists need quotes: "
        "'data.folders=[photos, more/photos]'",
    )
    args = parser.parse_intermixed_args()
    config = load_config(config_type, args.config, args.overrides)
    if args.dry_run:
        print(yaml.safe_dump(to_dict(config), sort_keys=False), end="")
        return 0
    trainer = Trainer(
        config,
        stage_type,
        select_device(args.device),
        args.runs,
        resume=args.resume,
        allow_config_change=args.allow_config_change,
    )
    return trainer.run()
