"""Make a network anew: the steps of a recipe, one after the other, from nothing to the weights file.

    python -m scripts.recipe recipes/srresnet_x4.yaml

A recipe has `steps`, each under its own name; `run` says what it is, and the other keys are its settings:

    photographs     fetch the photographs of datasets/photographs.tsv (scripts/photographs.py)
    pretrain        a config as pretrain.py takes it
    train           a config as train.py takes it
    teacher_images  a network's images of crops, `LR` and `HR`, to train on (scripts/teacher_images.py)
    mix             (1 - alpha) * pixels + alpha * gan, weight by weight (scripts/interpolate.py)

What the steps that train or make crops have in common stands under `common`. `step:NAME` as a value is the folder of an
earlier step, `step:NAME/HR` one inside it. Run again, the command skips what is finished and resumes what isn't. The
last step's network becomes runs/RECIPE/RECIPE.safetensors, with the recipe, the code's version, the photographs'
fingerprint and the number of iterations in its metadata.
"""

import argparse
import itertools
from pathlib import Path

import torch
import yaml

from scripts import photographs, teacher_images
from scripts.recipe_steps import STAGES, Mix, Photographs, Recipe, Step, TeacherImages, load_recipe
from srgan.common import parallel
from srgan.common.errors import UserError, command, error_context
from srgan.common.files import whole_file
from srgan.common.options import device_options
from srgan.common.precision import Precision, select_device
from srgan.networks.interpolate import mix
from srgan.networks.tensors import read_tensor_file
from srgan.networks.weights import find_weights, load_generator, load_network, save_weights
from srgan.training.config import PretrainConfig
from srgan.training.parsing import differences, read_yaml, to_dict
from srgan.training.trainer import Trainer


class Run:
    """Runs a recipe's steps.

    Args:
        folder: that of the recipe, with one folder a step.
        device: where networks compute.
        allow_config_change: go on although a step that has begun was another one then.
    """

    def __init__(self, recipe: Recipe, folder: Path, device: torch.device, allow_config_change: bool) -> None:
        self.recipe, self.folder, self.device = recipe, folder, device
        self.allow_config_change = allow_config_change
        self.released = folder / f"{recipe.name}.safetensors"

    def __call__(self) -> int:
        """Run the steps that aren't finished, and write the weights file.

        Returns: the exit code: 0, or 128 + the signal that stopped a training.

        Raises:
            UserError: of any step; or a step would have to be made again that others were begun with.
        """
        parallel.from_main(self._check_sources)
        if parallel.from_main(self._is_released):
            print(f"finished: {self.released}")
            return 0
        for name, step in self.recipe.steps.items():
            print(f"step {name}")
            with error_context(f"step {name}"):
                code = self._run(name, step)
            if code:
                return code
        parallel.from_main(self._release)
        print(f"finished: {self.released}")
        return 0

    def _check_sources(self) -> None:
        """Refuse to go on with other weights, from outside, than the recipe was begun with."""
        kept = self.folder / "sources.yaml"
        before = read_yaml(kept) if kept.exists() else {}
        changed = [name for name, digest in self.recipe.sources.items() if before.get(name, digest) != digest]
        if changed and not self.allow_config_change:
            raise UserError(
                f"{self.folder} was begun with another {changed[0]}: delete it to make it again, "
                "or add --allow-config-change"
            )
        if self.recipe.sources:
            with whole_file(kept) as part:
                part.write_text(yaml.safe_dump(before | self.recipe.sources), encoding="utf-8")

    def _is_released(self) -> bool:
        return self.released.exists() and read_tensor_file(self.released).metadata.get("recipe") == self.recipe.text

    def _run(self, name: str, step: Step) -> int:
        if isinstance(step, PretrainConfig):
            return self._train(name, step)
        if isinstance(step, TeacherImages):
            self._teach(name, step)
        elif isinstance(step, Mix):
            mixed = self.folder / name / "weights" / "last.safetensors"
            parallel.from_main(lambda: mix(Path(step.pixels), Path(step.gan), step.alpha, mixed))
        else:
            parallel.from_main(lambda: self._fetch(step))
        return 0

    def _train(self, name: str, config: PretrainConfig) -> int:
        stage_type = next(stage for kind, stage in STAGES.values() if kind is type(config))
        options = {"resume": True, "allow_config_change": self.allow_config_change}
        trainer = Trainer(config, stage_type, self.device, self.folder, **options)
        if trainer.iteration < config.optimizer.iterations:
            parallel.from_main(lambda: self._check_later(name))
        return trainer.run()

    def _teach(self, name: str, step: TeacherImages) -> None:
        """Each process makes its part of the images."""
        if parallel.from_main(lambda: self._is_taught(name, step)):
            return
        network = load_network(Path(step.weights)).for_inference().to(self.device)
        crops = teacher_images.load_crops(step.config, step.crop, network.scale)
        precision = Precision(step.config.runtime.precision, self.device)
        teacher_images.write_pairs(network, crops, self.folder / name, parallel.shard(range(step.count)), precision)
        parallel.gather([name])  # wait for the others

    def _is_taught(self, name: str, step: TeacherImages) -> bool:
        """Whether all images are there; if not, what they will be is written down."""
        out, made_as = self.folder / name, self.folder / name / "config.yaml"
        changed = differences(read_yaml(made_as), to_dict(step)) if made_as.exists() else []
        if changed and not self.allow_config_change:
            raise UserError(f"{out} was made otherwise: {'; '.join(changed)}; delete it, or add --allow-config-change")
        if len([*out.glob("HR/*.png")]) >= step.count:
            return True
        self._check_later(name)
        with whole_file(made_as) as part:
            part.write_text(yaml.safe_dump(to_dict(step), sort_keys=False), encoding="utf-8")
        return False

    def _fetch(self, step: Photographs) -> None:
        wanted = photographs.select(photographs.read_table())
        missing = photographs.fetch(wanted, Path(step.out), step.url)
        if missing and not step.allow_missing:
            raise UserError(
                f"{missing} of {len(wanted)} photographs are missing, for the reasons above: try again, "
                "or go on without them with allow_missing: true"
            )

    def _check_later(self, name: str) -> None:
        """Refuse to make a step that others were begun with: they would go on with what is no longer there."""
        _, *later = itertools.dropwhile(lambda item: item[0] != name, self.recipe.steps.items())
        # A mixture is made anew each time.
        if begun := [other for other, step in later if (self.folder / other).exists() and not isinstance(step, Mix)]:
            raise UserError(
                f"isn't finished, and {self.folder / begun[0]} was begun with what it was: delete that to make it again"
            )

    def _release(self) -> None:
        *_, last = self.recipe.steps
        trained = [name for name, step in self.recipe.steps.items() if isinstance(step, PretrainConfig)]
        facts = [read_tensor_file(find_weights(self.folder / name)).metadata for name in trained]
        save_weights(
            load_generator(self.folder / last),
            self.released,
            recipe=self.recipe.text,
            sources="; ".join(f"{name} {digest}" for name, digest in self.recipe.sources.items()),
            iterations=sum(int(each["iterations"]) for each in facts),
            steps=", ".join(f"{name} {each['iterations']}" for name, each in zip(trained, facts, strict=True)),
            **{
                key: "; ".join(dict.fromkeys(each.get(key, "unknown") for each in facts))
                for key in ("photographs", "code")
            },
        )


@command
def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[device_options()]
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a YAML file")
    parser.add_argument("--resume", action="store_true", help="what a recipe does anyway; its trainings ask for it")
    parser.add_argument("--allow-config-change", action="store_true", help="resume although the recipe has changed")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="its folder will be in this (default: runs)")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved steps and stop")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="such as steps.begin.optimizer.lr=2e-4")
    args = parser.parse_intermixed_args()
    folder = args.runs / args.recipe.stem
    recipe = load_recipe(args.recipe, folder, args.overrides)
    if args.dry_run:
        print(yaml.safe_dump({name: to_dict(step) for name, step in recipe.steps.items()}, sort_keys=False), end="")
        return 0
    return Run(recipe, folder, select_device(args.device), args.allow_config_change)()


if __name__ == "__main__":
    main()
