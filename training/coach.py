"""The engine every training shares: device, loop, logs, validation, checkpoints and resume."""

import json
import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from models.stylegan2.op import choose_ops
from options.base_options import TrainOptions
from training.accumulation import check_parts, split
from training.batches import BatchSource
from training.earlier_run import data_taken_over, taken_over
from training.figures import first_broken
from training.forecast import tell_forecast
from training.guard import Guard, KeptBuffers, NotFiniteError, broken_entry
from training.logs import progress_bar, shown
from training.randomness import seed_everything, seed_process
from training.reports.parts import Part
from training.reports.reporter import Reporter
from training.run_folder import RunFolder, newest_run
from training.state import TrainingState
from training.stopping import StopRequests
from training.trial import has_sound_step
from utils.compilation import begin_step, compile_networks
from utils.device import (
    autocast,
    be_deterministic,
    deterministic_forms,
    keep_freed_memory,
    select_device,
    select_precision,
)
from utils.distributed import (
    any_process,
    everyone,
    is_main,
    join,
    leave,
    own_device,
    rank,
    say,
    share_weights,
    told,
    world_size,
)
from utils.errors import BAD_INPUT, STOPPED, InputError, StoppedError

# So many sound steps make up for a skipped one; `--max_skipped` in a row end a run, or too many for long.
RELIEF = 10
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
    belongs_to_its_data = False  # whether a run must go on with the pictures that it was begun with
    batches: BatchSource  # what its steps are made from, if it has such

    def __init__(self, opts: OptionsType) -> None:
        self.opts = opts
        self.reporter = Reporter(self)
        if opts.deterministic:
            be_deterministic()
        self.device = own_device(select_device(opts.device))
        join(self.device)
        check_parts(opts.batch_size, world_size(), opts.gradient_accumulation_steps)
        choose_ops(opts.ops, self.device)
        self.precision = select_precision(opts.mixed_precision, self.device)
        if self.device.type == "cpu":
            keep_freed_memory()
        torch.set_num_threads(opts.threads or torch.get_num_threads())
        seed_everything(opts.seed)
        self.state = TrainingState(type(self).__name__)
        self.figures = self.state.figures
        self._stopping, self._stop = StopRequests(), False
        place = newest_run(opts.exp_dir, opts.max_steps) if self.numbered_runs else opts.exp_dir
        self.run = RunFolder(told(str(place)), opts.keep_checkpoints, opts.keep_sheets)
        try:
            self._prepare()
        except BaseException:
            self.run.close()
            raise

    def _prepare(self) -> None:
        """Takes the run folder, builds everything and brings it to the step where the run stands."""
        if is_main():
            self.run.open()
        told(None)  # the others wait here until the folder belongs to this training
        saved = self.run.load_state()
        self.start_step = saved["step"] if saved else 0
        if told(self.start_step) != self.start_step:
            raise InputError(f"the processes see different states of {self.run.path}; use one shared folder")
        self.record = taken_over(self.opts, saved, self.state.coach, self.run.path)
        self.build()
        data, batches = None, getattr(self, "batches", None)
        if batches is not None:
            data = data_taken_over(batches.dataset, saved, self.belongs_to_its_data, self.run.path)
        self.state.record = {"options": self.record, "data": data}
        if saved:
            self.state.restore(saved, str(self.run.path))
        self._newest_sound = self._saved_at = self.step
        share_weights(self.state.networks.values())
        self.guard = Guard()
        for optimizer in self.state.optimizers.values():
            self.guard.watch(optimizer)
        self._buffers = KeptBuffers(self.state.networks.values())
        compile_networks(self.compiled(), self.opts.compile)

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

    def compiled(self) -> Iterable[nn.Module]:
        """The networks that `--compile` is for."""
        return self.state.networks.values()

    def parts(self, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The micro-batches of a step's own batch, see :func:`split`; the loss of each counts `share`."""
        return split(batch, self.opts.gradient_accumulation_steps)

    @property
    def share(self) -> float:
        """Share of a micro-batch in the gradients of this process."""
        return 1 / self.opts.gradient_accumulation_steps

    def validation_step(self) -> dict[str, float]:
        """Returns validation figures."""
        return {}

    def sheets(self) -> dict[str, Image.Image]:
        """Returns pictures that show the state of training, by their place below `logs/images`."""
        return {}

    def report_parts(self) -> Sequence[Part]:
        """What a finished training shows in its report besides curves, sheets and validation."""
        return ()

    def begin(self) -> None:
        """Does what comes before the first step, once the run folder is there."""

    # ---------------------------------------------------------------- the loop

    @property
    def step(self) -> int:
        """Optimiser steps made."""
        return self.state.step

    def train(self) -> None:
        """Trains to `max_steps`.

        Raises:
            StoppedError: SIGTERM, SIGHUP or Ctrl-C stopped it, or another process ended; the state is saved.
            InputError: it cannot go on, because its numbers are not finite or files cannot be written.
        """
        try:
            with self._stopping, deterministic_forms(self.device):
                if is_main():
                    self.run.create({"exp_dir": self.opts.exp_dir, **self.record})
                    self.run.tidy()
                    self.run.logs.cut(self.step)
                with self.reporter:
                    self._loop()
            leave()
            self._say_how_it_ended()
        finally:
            self.run.close()

    def _loop(self) -> None:
        if self._is_finished():
            say(f"{self.run.path} has {self.step} of {self.opts.max_steps} steps already; raise --max_steps")
        else:
            if self.step:
                say(f"continuing {self.run.path} at step {self.step}")
            tell_forecast(self)
            self.begin()
        self._last_save = time.monotonic()
        with progress_bar(type(self).__name__, self.step, self.opts.max_steps) as bar:
            if is_main() and self.step:
                self._complete(bar)
            while not self._is_finished() and not self._stop:
                self._make_step()
                bar.update()
                self._stop = any_process(self._stopping.requested)
                if is_main():
                    self._after_step(bar)

    def _say_how_it_ended(self) -> None:
        """Names skipped steps and an early end.

        Raises:
            StoppedError: it ended early.
        """
        if self.state.skipped:
            say(f"note: {self.state.skipped} steps were skipped, see {self.run.logs.skipped.path}")
        if not self._is_finished():
            if not is_main():
                sys.exit(STOPPED)
            raise StoppedError(f"stopped at step {self._saved_at}; the same command continues")

    def _make_step(self) -> None:
        """One step; one whose loss or gradient is not finite leaves everything as it was."""
        if not is_main():
            seed_process(self.opts.seed, rank(), self.step)
        self._buffers.keep()
        begin_step()
        try:
            self.figures.add(self.training_step())
        except NotFiniteError:
            self._buffers.restore()
            self.state.step += 1
            self._count_skipped()
        else:
            self.state.step += 1
            self.state.strain = max(0, self.state.strain - 1)
            self._newest_sound = self.step
        if self._is_finished():
            self._buffers.keep()
            tries = self.opts.max_skipped
            if not has_sound_step(self.training_step, self.guard, self.state, self._buffers, tries):
                self._give_up(f"after step {self.step} no further step has a finite loss and gradient")

    def _count_skipped(self) -> None:
        """Tells of a step that was left out, and ends a run that has too many of them.

        Raises:
            InputError: it has.
        """
        self.state.skipped += 1
        self.state.strain += RELIEF
        own = self.batches.newest_files() if hasattr(self, "batches") else []
        files = sorted(name for part in everyone(own) for name in part)
        if is_main():
            self.run.logs.skipped.append(json.dumps({"step": self.step, "files": files}))
            listed = f"; its pictures: {', '.join(files)}" if files else ""
            tqdm.write(f"step {self.step} skipped: a loss or gradient is not finite{listed}", file=sys.stderr)
        if self.state.strain >= RELIEF * self.opts.max_skipped:
            self._give_up(f"{self.state.skipped} steps to step {self.step} had no finite loss or gradient")

    def _give_up(self, reason: str) -> None:
        """Ends a run that would spoil itself.

        Raises:
            InputError: always, in the first process; the others end with its exit code.
        """
        if not is_main():
            sys.exit(BAD_INPUT)
        self.run.withdraw(self._newest_sound)
        state = self.run.load_state()
        rest = "no sound state was saved, so it begins anew"
        if state:
            rest = f"{self.run.state_file} holds step {state['step']}, from which it goes on"
        raise InputError(
            f"{reason}; {rest}: lower --learning_rate, use --mixed_precision=no or look at the pictures in "
            f"{self.run.logs.skipped.path}, then start it again"
        )

    def _after_step(self, bar: tqdm) -> None:
        """Logs, shows, validates and saves what is due; the state, which knows of all else, comes last."""
        opts, last = self.opts, self._is_finished()
        if self._due(opts.board_interval) or last:
            self._log(bar)
        if self._due(opts.image_interval) or last:
            self._save_sheets()
        if self._due(opts.val_interval) or last:
            self.validate()
        if self._due(opts.save_interval) or self._is_time_to_save() or last or self._stop:
            self._save()

    def _complete(self, bar: tqdm) -> None:
        """Makes up for what the step of the state should have left, but was not the last one then."""
        best = self.run.checkpoints / "best_model.pt"
        if self.state.best_step == self.step and not best.exists():
            self._save_best("made again")
        if not self._is_finished() or self.run.weights_file(self.step).exists():
            return
        self._log(bar)
        self._save_sheets()
        if self.step not in self.run.logs.validation.steps():
            self.validate()
        self._save()

    def _is_finished(self) -> bool:
        return self.step >= self.opts.max_steps

    def _due(self, interval: int | None) -> bool:
        return interval is not None and interval > 0 and self.step % interval == 0

    def _is_time_to_save(self) -> bool:
        return 0 < 60 * self.opts.save_minutes < time.monotonic() - self._last_save

    def autocast(self) -> AbstractContextManager:
        """Mixed precision as chosen by `--mixed_precision`."""
        return autocast(self.device, self.precision)

    # ---------------------------------------------------------------- what is written

    def _log(self, bar: tqdm) -> None:
        """Writes the means since the last call."""
        means = self._finite_means()
        self.figures.clear()
        for name, value in means.items():
            self.run.logs.events.scalar(name if "/" in name else f"train/{name}", value, self.step)
        batches = getattr(self, "batches", None)
        bar.set_postfix(shown(means, batches.share_waited() if batches else 0.0), refresh=False)

    def _finite_means(self) -> dict[str, float]:
        """The mean figures, where they leave the device: at logging and before a state is written.

        Raises:
            InputError: one is infinite or not a number, so that no such state replaces a sound one.
        """
        means = self.figures.means()
        broken = first_broken(means)
        if broken is not None:
            self._give_up(f"{broken} is not finite at step {self.step}")
        return means

    def validate(self) -> dict[str, float]:
        """Runs validation, logs it, and keeps the best model."""
        figures = self.validation_step()
        for name, value in figures.items():
            self.run.logs.events.scalar(f"test/{name}", value, self.step)
        if not figures:
            return figures
        self.run.logs.validation.append(json.dumps({"step": self.step, **figures}))
        text = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        tqdm.write(f"step {self.step}: {text}")
        value = figures.get(self.best_metric or "", math.inf)
        if value < self.state.best_value:
            self.state.best_value, self.state.best_step = value, self.step
            self._save_best(text)
        return figures

    def _save_best(self, text: str) -> None:
        self.run.save_weights(self._sound(self.weights()), "best_model", f"step {self.step}, {text}")

    def _save_sheets(self) -> None:
        for name, sheet in self.sheets().items():
            self.run.show(name, sheet, self.step)

    def _save(self) -> None:
        """Writes the weights where they are due, then all that is needed to continue.

        After a skipped step the state waits: the sound step before may have spoiled the weights.
        """
        self._finite_means()
        last = self._is_finished()
        state = self.state.content()
        for kind in ("networks", "optimizers"):
            self._sound(state[kind])
        if self._due(self.opts.save_interval) or last:
            self.run.save_step(self.weights(), self.step)
        if self._newest_sound == self.step or last:
            self.run.logs.events.flush()
            self.run.save_state(state)
            self._saved_at, self._last_save = self.step, time.monotonic()
            self.reporter.saved()

    def _sound(self, content: dict[str, Any]) -> dict[str, Any]:
        """What is about to be written, if its numbers are finite; else the run ends before that."""
        broken = broken_entry(content)
        if broken is not None:
            self._give_up(f"{broken} holds numbers that are not finite at step {self.step}")
        return content
