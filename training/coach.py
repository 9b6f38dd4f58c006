"""The engine every training shares: device, loop, logs, validation, checkpoints and resume."""

import json
import math
import signal
import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from models.stylegan2.op import choose_ops
from options.base_options import TrainOptions
from training.figures import RunningFigures, first_broken
from training.randomness import seed_everything, seed_process
from training.run_folder import RunFolder, newest_run
from training.state import TrainingState
from utils.device import autocast, keep_freed_memory, select_device, select_precision
from utils.distributed import (
    any_process,
    is_main,
    join,
    leave,
    own_device,
    rank,
    say,
    share_weights,
    synchronise,
)
from utils.errors import InputError
from utils.pictures.writing import save_pil

OptionsType = TypeVar("OptionsType", bound=TrainOptions)


class Coach(ABC, Generic[OptionsType]):
    """Runs `training_step` to `max_steps`.

    A coach provides `build`, `training_step` and `weights`, and as far as it needs them `validation_step` and
    `sheets`. What must survive a restart it registers in `state`.

    Args:
        opts: the coach's own options.
    """

    best_metric: str | None = None  # name of the validation figure whose minimum makes `best_model.pt`
    numbered_runs = False  # whether runs get folders 00000, 00001 ... below `exp_dir`

    def __init__(self, opts: OptionsType) -> None:
        self.opts = opts
        self.device = own_device(select_device(opts.device))
        join(self.device)
        choose_ops(opts.ops, self.device)
        self.precision = select_precision(opts.mixed_precision, self.device)
        if self.device.type == "cpu":
            keep_freed_memory()
        if opts.threads:
            torch.set_num_threads(opts.threads)
        seed_everything(opts.seed)
        self.state = TrainingState(type(self).__name__)
        self.figures = RunningFigures()
        self._stop = False
        self._writer: SummaryWriter | None = None
        self.run = RunFolder(newest_run(opts.exp_dir, opts.max_steps) if self.numbered_runs else opts.exp_dir)
        saved = self.run.load_state()
        self.start_step = saved["step"] if saved else 0
        self.build()
        if saved:
            self.state.restore(saved, str(self.run.path))
        share_weights(self.state.networks.values())
        for optimizer in self.state.optimizers.values():
            synchronise(optimizer)
        if not is_main():
            seed_process(opts.seed, rank(), self.step)

    # ---------------------------------------------------------------- what a coach provides

    @abstractmethod
    def build(self) -> None:
        """Makes networks, data and optimisers; `start_step` is the number of steps already made."""

    @abstractmethod
    def training_step(self) -> dict[str, Tensor]:
        """Makes one optimiser step; returns figures to log, as detached tensors."""

    @abstractmethod
    def weights(self) -> dict[str, Any]:
        """Returns the checkpoint for use (not for resuming)."""

    def validation_step(self) -> dict[str, float]:
        """Returns validation figures."""
        return {}

    def sheets(self) -> dict[str, Image.Image]:
        """Returns pictures that show the state of training, by their place below `logs/images`."""
        return {}

    # ---------------------------------------------------------------- the loop

    @property
    def step(self) -> int:
        """Optimiser steps made."""
        return self.state.step

    def train(self) -> None:
        """Trains to `max_steps`, or until SIGTERM or Ctrl-C, after which the same command continues."""
        if is_main():
            self.run.create(self.opts.record())
            self._writer = SummaryWriter(str(self.run.logs), purge_step=self.step or None)
        signals = (signal.SIGINT, signal.SIGTERM)
        previous = {number: signal.signal(number, self._request_stop) for number in signals}
        try:
            self._loop()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            if self._writer is not None:
                self._writer.close()
            leave()

    def _loop(self) -> None:
        if self._is_finished():
            steps = f"{self.step} of {self.opts.max_steps} steps"
            say(f"{self.run.path} has {steps} already; raise --max_steps")
            return
        if self.step:
            say(f"continuing {self.run.path} at step {self.step}")
        self._last_save = time.monotonic()
        with self._progress_bar() as bar:
            while not self._is_finished() and not self._stop:
                self.figures.add(self.training_step())
                self.state.step += 1
                bar.update()
                self._stop = any_process(self._stop, self.device)
                if is_main():
                    self._after_step(bar)
        if self._stop:
            say(f"stopped at step {self.step}; the same command continues")

    def _after_step(self, bar: tqdm) -> None:
        """Logs, shows, validates and saves what is due."""
        opts, last = self.opts, self._is_finished()
        if self._due(opts.board_interval) or last:
            self._log(bar)
        if self._due(opts.image_interval) or last:
            self._save_sheets()
        if self._due(opts.val_interval) or last:
            self.validate()
        if self._due(opts.save_interval) or self._is_time_to_save() or last or self._stop:
            self._save()

    def _is_finished(self) -> bool:
        return self.step >= self.opts.max_steps

    def _due(self, interval: int | None) -> bool:
        return interval is not None and interval > 0 and self.step % interval == 0

    def _is_time_to_save(self) -> bool:
        minutes = self.opts.save_minutes
        return minutes > 0 and time.monotonic() - self._last_save > 60 * minutes

    def _request_stop(self, *_: Any) -> None:
        self._stop = True

    def _progress_bar(self) -> tqdm:
        return tqdm(
            total=self.opts.max_steps,
            initial=self.step,
            unit="step",
            desc=type(self).__name__,
            smoothing=0.02,
            disable=not is_main(),
        )

    def autocast(self) -> AbstractContextManager:
        """Mixed precision as chosen by `--mixed_precision`."""
        return autocast(self.device, self.precision)

    # ---------------------------------------------------------------- what is written

    def _log(self, bar: tqdm) -> None:
        """Writes the means since the last call."""
        means = self._finite_means()
        self.figures.clear()
        for name, value in means.items():
            self._board().add_scalar(name if "/" in name else f"train/{name}", value, self.step)
        bar.set_postfix({name: f"{value:.3g}" for name, value in list(means.items())[:4]}, refresh=False)

    def _finite_means(self) -> dict[str, float]:
        """The mean figures, where they leave the device: at logging and before a state is written.

        Raises:
            InputError: one is infinite or not a number, so that no such state replaces a sound one.
        """
        means = self.figures.means()
        broken = first_broken(means)
        if broken is not None:
            raise InputError(
                f"{broken} is not finite at step {self.step}; lower --learning_rate or use "
                f"--mixed_precision=no (the last sound state, if one was due, is in {self.run.checkpoints})"
            )
        return means

    def validate(self) -> dict[str, float]:
        """Runs validation, logs it, and keeps the best model."""
        figures = self.validation_step()
        for name, value in figures.items():
            self._board().add_scalar(f"test/{name}", value, self.step)
        if not figures:
            return figures
        with (self.run.logs / "validation.jsonl").open("a") as file:
            file.write(json.dumps({"step": self.step, **figures}) + "\n")
        text = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        tqdm.write(f"step {self.step}: {text}")
        value = figures.get(self.best_metric or "", math.inf)
        if value < self.state.best_value:
            self.state.best_value = value
            self.run.save_weights(self.weights(), "best_model", f"step {self.step}, {text}")
        return figures

    def _save_sheets(self) -> None:
        for name, sheet in self.sheets().items():
            save_pil(sheet, self.run.images / f"{name}_{self.step:07d}.jpg")
            pixels = np.asarray(sheet.convert("RGB"))
            self._board().add_image(name, pixels, self.step, dataformats="HWC")

    def _save(self) -> None:
        """Writes the weights where they are due, then all that is needed to continue."""
        self._finite_means()
        if self._due(self.opts.save_interval) or self._is_finished():
            self.run.save_weights(self.weights(), f"iteration_{self.step}", f"step {self.step}")
        self.run.save_state(self.state.content())
        self._last_save = time.monotonic()

    def _board(self) -> SummaryWriter:
        assert self._writer is not None  # the main process opened it
        return self._writer
