"""One training loop for either stage: data, steps, schedule, validation, checkpoints, resume."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from srgan.common import parallel
from srgan.common.errors import UserError, describe, error_context, warn
from srgan.common.images import hr_tensor, lr_tensor
from srgan.common.version import code_version
from srgan.data.fingerprint import Fingerprint
from srgan.networks.network import TrainableNetwork
from srgan.networks.weights import save_weights
from srgan.training.checkpoint import all_finite, save_checkpoint
from srgan.training.config import PretrainConfig
from srgan.training.loader import load_batches, load_photographs
from srgan.training.parsing import differences, from_dict, to_dict
from srgan.training.resume import check_photographs, comparable_scores, open_run, resume_command
from srgan.training.runfolder import RunFolder
from srgan.training.runlog import Log
from srgan.training.signals import StopSignal
from srgan.training.stages import Stage
from srgan.training.validation import ValidationSet
from srgan.upscaling.upscaler import Upscaler

# Keys in which the configs of several machines may differ.
PER_MACHINE = ("data.folders:", "data.cache:", "data.workers:")


def check_processes(config: PretrainConfig) -> None:
    """Warn of a slow combination.

    Raises:
        UserError: the batch can't be divided equally among the processes, or their configs differ.
    """
    runtime, batch, processes = config.runtime, config.optimizer.batch, parallel.world_size()
    if batch % (processes * runtime.accumulate):
        raise UserError(
            "optimizer.batch: expected a multiple of the number of processes times runtime.accumulate, "
            f"{processes} x {runtime.accumulate}, found {batch}"
        )
    configs = parallel.gather([to_dict(config)])
    for rank, other in enumerate(configs):
        # Where a machine keeps its photographs is its own affair.
        changed = [line for line in differences(configs[0], other) if not line.startswith(PER_MACHINE)]
        if changed:
            raise UserError(f"expected one config for all processes, found another in process {rank}: {changed[0]}")
    if runtime.compile and runtime.sync_batchnorm and processes > 1:
        warn(
            "runtime.compile: each synchronised batch norm splits the compiled graph, so there is less to gain; "
            "runtime.sync_batchnorm=false compiles the networks whole"
        )


class Trainer:
    """Drives one stage through its iterations, in a run folder: continues its checkpoint, or begins it.

    A batch is a function of the seed and the iteration (see `CropDataset`), so a checkpoint needs no random states.
    Of several processes each computes its part of the batch, and the main one alone touches the run folder.

    Args:
        config: the experiment.
        stage_type: what a step is.
        device: where the stage computes.
        runs: the folder of the run folders.
        resume: continue from the run's last checkpoint, if there is one.
        allow_config_change: resume although the config differs from the checkpoint's.

    Raises:
        UserError: a run is there and is not to be resumed, or its config differs, or its checkpoints are damaged;
            or the validation images, the initial weights or the run folder are not as they should be; or the batch
            can't be divided equally among the processes.
    """

    def __init__(
        self,
        config: PretrainConfig,
        stage_type: type[Stage],
        device: torch.device,
        runs: Path,
        *,
        resume: bool = False,
        allow_config_change: bool = False,
    ) -> None:
        self.config, self.device = config, device
        # All batches have one shape, so cuDNN's search for the fastest kernels pays.
        torch.backends.cudnn.benchmark = True
        self.iteration = self.logged = 0  # the last iteration, and that of the log's last row
        self.seconds = 0.0
        self.best: float | None = None  # the best score so far of the metric that `validation.best` names
        self.sums: dict[str, Tensor] = {}
        self.trained_on: Fingerprint | None = None  # of the checkpoint's photographs
        check_processes(config)
        # What fails at once comes before what takes long, networks and VGG weights here, decoding in `run`; and what a
        # config is refused for comes before there is a run folder.
        self.validation = ValidationSet(config.validation, config.generator.scale, config.data.degradation, device.type)
        self.folder = RunFolder(runs, config.name)
        self.allow_config_change = allow_config_change
        state = parallel.from_main(lambda: open_run(self.folder, config, resume, allow_config_change))
        self.stage = stage_type(config, device, resuming=state is not None)
        if state:
            self._load(state)
        if parallel.is_main():
            self.folder.save_config(to_dict(config))

    def run(self) -> int:
        """Train to the last iteration, or to a signal.

        Returns: the exit code: 0, or after a signal 130 (SIGINT), 143 (SIGTERM) or 129 (SIGHUP).

        Raises:
            UserError: the photographs can't be used, a loss or a weight is not finite, a worker died, or the disk or
                memory is full.
        """
        total = self.config.optimizer.iterations
        if self.iteration >= total:
            print(f"{self.folder.path} is finished: {self.iteration} of {total} iterations")
            return 0
        self.dataset = load_photographs(self.config, [pair.hr for pair in self.validation.pairs])
        check_photographs(self.trained_on, self.dataset.fingerprint, self.folder, self.allow_config_change)
        processes = f"{parallel.world_size()} processes, " if parallel.world_size() > 1 else ""
        print(
            f"{self.folder.path}: {processes}{self.device.type}, {self.stage.summary}, {len(self.dataset)} photographs"
        )
        if parallel.is_main():
            self.bicubic = self.validation.bicubic()
            columns = [*self.stage.loss_names, "lr", *self.validation.metrics, "seconds"]
            self.log = Log(self.folder, columns, self.iteration, to_dict(self.config))
        try:
            with StopSignal() as stop_signal:
                stopped_by = self._train(total, stop_signal)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"the device's memory is full: {describe(error)}; "
                "try a smaller optimizer.batch or data.crop, or a larger runtime.accumulate, "
                "with --resume --allow-config-change"
            ) from error
        finally:
            if parallel.is_main():
                self.log.close()
        if self.iteration < total:
            command = (
                " the same torchrun command and --resume" if parallel.world_size() > 1 else f":\n{resume_command()}"
            )
            print(f"stopped at iteration {self.iteration} of {total}; go on with{command}")
            return 128 + stopped_by
        print(f"finished: weights in {self.folder.weights}, curves in {self.folder.curves}")
        return 0

    def _train(self, total: int, stop_signal: StopSignal) -> int:
        """Returns the number of the signal that stopped it, or 0."""
        config = self.config
        self.clock = time.monotonic() - self.seconds
        with tqdm(total=total, initial=self.iteration, unit="it", desc=config.name, smoothing=0.05) as progress:
            for lr, hr in load_batches(self.dataset, config, self.iteration, self.device.type == "cuda"):
                self.iteration += 1
                self.rate = self.stage.set_learning_rate(self.iteration)
                losses = self.stage.step(*self._to_device(lr, hr))
                self.sums = {name: self.sums.get(name, 0) + loss for name, loss in losses.items()}
                progress.update()

                # Looked at once: a signal between the lines below would end the run without its checkpoint.
                last, stop = self.iteration == total, stop_signal.received()
                log, save, validate = (
                    last or self.iteration % every == 0
                    for every in (config.log.every, config.log.checkpoint, config.validation.every)
                )
                if log or stop:
                    means = self._finite_means()
                    progress.set_postfix({name: f"{mean:.4g}" for name, mean in means.items()})
                if log:
                    if parallel.is_main():
                        self._log(means, validate)
                    self.sums, self.logged = {}, self.iteration
                if (save or stop) and parallel.is_main():
                    self._save()
                if stop:
                    return stop
        return 0

    def _to_device(self, lr: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 crops cross to the device; they become floats there."""
        lr, hr = (crops.to(self.device, non_blocking=True) for crops in (lr, hr))
        return lr_tensor(lr), hr_tensor(hr)

    def _finite_means(self) -> dict[str, float]:
        """The mean losses since the last row of the log: the one place where the host waits for the device.

        Raises:
            UserError: a loss or a weight is not finite; nothing is saved.
        """
        # The sums stay those of all processes, for a checkpoint that any number of them goes on from.
        self.sums = dict(zip(self.sums, parallel.all_reduce_mean(torch.stack([*self.sums.values()])), strict=True))
        means = {name: float(total) / (self.iteration - self.logged) for name, total in self.sums.items()}
        spoiled = [f"{name} became {mean}" for name, mean in means.items() if not math.isfinite(mean)]
        # A finite loss may have had gradients that were not.
        if not spoiled and not all_finite(self.stage.state_dict()):
            spoiled = ["the weights became infinite or NaN"]
        if spoiled:
            raise UserError(
                f"{' and '.join(spoiled)} between iterations {self.logged + 1} and {self.iteration}; "
                f"{self.folder.checkpoint} is left as it was before: try a lower optimizer.lr or "
                "runtime.precision=fp32, with --resume --allow-config-change"
            )
        return means

    def _log(self, means: dict[str, float], validate: bool) -> None:
        self.seconds = time.monotonic() - self.clock
        row = {"iteration": self.iteration, **means, "lr": self.rate, "seconds": self.seconds}
        if validate:
            row |= self._validate()
        self.log.write(row)
        if validate:
            self.log.draw(self.validation.metrics, self.bicubic)

    def _validate(self) -> dict[str, float]:
        """Score the validation images, save the samples, and the weights and checkpoint of the best score."""
        upscaler = Upscaler(self.stage.exported, self.device.type, self.config.runtime.precision)
        scores, samples = self.validation.score(upscaler.upscale)
        if samples is not None:
            self.log.write_samples(self.iteration, samples)
        if self.config.log.keep and self.iteration % self.config.log.keep == 0:
            self._export(self.folder.snapshot(self.iteration))
        texts = [
            f"{metric.title} {metric.text(scores[name])} (bicubic {metric.text(self.bicubic[name])})"
            for name, metric in self.validation.metrics.items()
        ]
        tqdm.write(f"iteration {self.iteration}: {', '.join(texts)}")
        if self.validation.improves(scores, self.best):
            self.best = scores[self.config.validation.best]
            self._export(self.folder.weights / "best.safetensors")
            save_checkpoint(self._state(), self.folder.best_checkpoint, keep_previous=False)
        return scores

    def _save(self) -> None:
        self.log.sync()
        # Before the checkpoint: what is lost between the two comes again.
        self._export(self.folder.weights / "last.safetensors")
        for decay, average in [*self.stage.averages.networks.items()][1:]:
            self._export(self.folder.weights / f"last-ema{decay:g}.safetensors", average)
        save_checkpoint(self._state(), self.folder.checkpoint)

    def _export(self, path: Path, network: TrainableNetwork | None = None) -> None:
        photographs = f"{self.dataset.fingerprint.count}, digest {self.dataset.fingerprint.digest}"
        facts = {"run": self.config.name, "iterations": self.iteration, "photographs": photographs}
        save_weights(network or self.stage.exported, path, code=code_version(), **facts)

    def _state(self) -> dict[str, Any]:
        return {
            "config": to_dict(self.config),
            "iteration": self.iteration,
            "logged": self.logged,
            "seconds": time.monotonic() - self.clock,
            "best": self.best,
            "sums": self.sums,
            "photographs": to_dict(self.dataset.fingerprint),
            "stage": self.stage.state_dict(),
        }

    def _load(self, state: dict[str, Any]) -> None:
        try:
            self.stage.load_state_dict(state["stage"])
            self.iteration, self.logged = state["iteration"], state["logged"]
            if not 0 <= self.logged <= self.iteration:
                raise ValueError(f"its log ends at iteration {self.logged} of {self.iteration}")
            self.seconds = state["seconds"]
            self.best = state["best"] if comparable_scores(state, self.config) else None
            # Checkpoints from before this was kept lack it.
            if state.get("photographs"):
                with error_context("photographs"):
                    self.trained_on = from_dict(Fingerprint, state["photographs"])
            self.sums = {name: total.to(self.device).reshape(()) for name, total in state["sums"].items()}
        except Exception as error:
            # Of another stage or network, or edited by hand, it can raise anything.
            raise UserError(
                f"{self.folder.checkpoint} doesn't fit this config: {' '.join(str(error).split())}; "
                "set the generator and the stage as they were, or begin another run with name=..."
            ) from error
        print(f"resuming {self.folder.path} at iteration {self.iteration}")
