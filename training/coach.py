"""The engine every training shares: device, loop, logs, validation, checkpoints and resume."""

import argparse
import json
import math
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from models.stylegan2.op import choose_ops
from training.run_folder import RunFolder, newest_run
from utils.device import autocast, keep_freed_memory, select_device, select_precision
from utils.distributed import (
    any_process,
    is_main,
    join,
    leave,
    own_device,
    rank,
    share_weights,
    synchronise,
)
from utils.errors import InputError
from utils.pictures.writing import save_pil


class Coach:
    """Runs `training_step` to `max_steps`.

    A coach provides `build`, `training_step` and `weights`, and as far as it needs them `validation_step`,
    `sheets` and `extra_state`. `networks` and `optimizers` (filled by `build`) are what the resume state
    holds.

    Args:
        opts: parsed options; see `options/base_options.py` for those the engine itself reads.
    """

    best_metric: str | None = None  # name of the validation figure whose minimum makes `best_model.pt`
    numbered_runs = False  # whether runs get folders 00000, 00001 ... below `exp_dir`

    def __init__(self, opts: argparse.Namespace) -> None:
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
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.step = 0
        self.best_value = math.inf
        self._stop = False
        folder = newest_run(opts.exp_dir, opts.max_steps) if self.numbered_runs else opts.exp_dir
        self.run = RunFolder(folder)
        state = self.run.load_state()
        self.start_step = state["step"] if state else 0
        self.build()
        if state:
            self._load_state(state)
        share_weights(self.networks.values())
        for optimizer in self.optimizers.values():
            synchronise(optimizer)
        if not is_main():  # noise of its own, from here on
            torch.manual_seed(opts.seed + 1_000_003 * rank() + self.step)

    # ---------------------------------------------------------------- what a coach provides

    def build(self) -> None:
        """Makes networks, data and optimisers; `start_step` is the number of steps already made."""
        raise NotImplementedError

    def training_step(self) -> dict[str, Tensor]:
        """Makes one optimiser step; returns figures to log, as detached tensors."""
        raise NotImplementedError

    def weights(self) -> dict[str, Any]:
        """Returns the checkpoint for use (not for resuming)."""
        raise NotImplementedError

    def validation_step(self) -> dict[str, float]:
        """Returns validation figures."""
        return {}

    def sheets(self) -> dict[str, Image.Image]:
        """Returns pictures that show the state of training, by their place below `logs/images`."""
        return {}

    def extra_state(self) -> dict[str, Any]:
        """Returns what else must survive a restart; `load_extra_state` gets it back."""
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what `extra_state` returned."""

    # ---------------------------------------------------------------- the loop

    def train(self) -> None:
        """Trains to `max_steps`, or until SIGTERM or Ctrl-C, after which the same command continues."""
        self._writer: SummaryWriter | None = None
        if is_main():
            self.run.create(vars(self.opts))
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
        opts = self.opts
        if self.step >= opts.max_steps:
            say(f"{self.run.path} has {self.step} of {opts.max_steps} steps already; raise --max_steps")
            return
        if self.step:
            say(f"continuing {self.run.path} at step {self.step}")
        sums: dict[str, Tensor] = {}
        counts: Counter[str] = Counter()  # a figure that occurs in some steps only is averaged over those
        last_save = time.monotonic()
        bar = tqdm(
            total=opts.max_steps,
            initial=self.step,
            unit="step",
            desc=type(self).__name__,
            smoothing=0.02,
            disable=not is_main(),
        )
        with bar:
            while self.step < opts.max_steps and not self._stop:
                for name, value in self.training_step().items():
                    sums[name] = sums[name] + value if name in sums else value.detach().clone()
                    counts[name] += 1
                self.step += 1
                bar.update()
                self._stop = any_process(self._stop, self.device)
                if not is_main():
                    continue
                last = self.step == opts.max_steps
                if self._due(opts.board_interval) or last:
                    self._log(sums, counts, bar)
                    sums, counts = {}, Counter()
                if self._due(opts.image_interval) or last:
                    self._save_sheets()
                if self._due(opts.val_interval) or last:
                    self.validate()
                timed = opts.save_minutes and time.monotonic() - last_save > 60 * opts.save_minutes
                if timed or last or self._stop or self._due(opts.save_interval):
                    self._require_finite(sums)
                    if self._due(opts.save_interval):
                        self.run.save_weights(self.weights(), f"iteration_{self.step}", f"step {self.step}")
                    self.save_state()
                    last_save = time.monotonic()
        if self._stop:
            say(f"stopped at step {self.step}; the same command continues")
        elif is_main() and not self._due(opts.save_interval):
            self.run.save_weights(self.weights(), f"iteration_{self.step}", f"step {self.step}")

    def _due(self, interval: int | None) -> bool:
        return interval is not None and interval > 0 and self.step % interval == 0

    def _request_stop(self, *_: Any) -> None:
        self._stop = True

    def _log(self, sums: Mapping[str, Tensor], counts: Mapping[str, int], bar: tqdm) -> None:
        """Writes the means since the last call."""
        means = {name: value / counts[name] for name, value in self._require_finite(sums).items()}
        assert self._writer is not None
        for name, value in means.items():
            self._writer.add_scalar(name if "/" in name else f"train/{name}", value, self.step)
        bar.set_postfix({name: f"{value:.3g}" for name, value in list(means.items())[:4]}, refresh=False)

    def _require_finite(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """The figures as numbers: where they leave the device, at logging and before a state is written.

        Raises:
            InputError: one is infinite or not a number, so that no such state replaces a sound one.
        """
        if not sums:
            return {}
        values = torch.stack([value.float().reshape(()) for value in sums.values()]).tolist()
        figures = dict(zip(sums, values, strict=True))
        broken = [name for name, value in figures.items() if not math.isfinite(value)]
        if broken:
            raise InputError(
                f"{broken[0]} is not finite at step {self.step}; lower --learning_rate or use "
                f"--mixed_precision=no (the last sound state, if one was due, is in {self.run.checkpoints})"
            )
        return figures

    def validate(self) -> dict[str, float]:
        """Runs validation, logs it, and keeps the best model."""
        figures = self.validation_step()
        assert self._writer is not None
        for name, value in figures.items():
            self._writer.add_scalar(f"test/{name}", value, self.step)
        if not figures:
            return figures
        with (self.run.logs / "validation.jsonl").open("a") as file:
            file.write(json.dumps({"step": self.step, **figures}) + "\n")
        text = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        tqdm.write(f"step {self.step}: {text}")
        value = figures.get(self.best_metric or "", math.inf)
        if value < self.best_value:
            self.best_value = value
            self.run.save_weights(self.weights(), "best_model", f"step {self.step}, {text}")
        return figures

    def _save_sheets(self) -> None:
        assert self._writer is not None
        for name, sheet in self.sheets().items():
            save_pil(sheet, self.run.images / f"{name}_{self.step:07d}.jpg")
            self._writer.add_image(name, np.asarray(sheet.convert("RGB")), self.step, dataformats="HWC")

    # ---------------------------------------------------------------- resume

    def save_state(self) -> None:
        """Writes everything needed to continue as if nothing had happened."""
        self.run.save_state(
            {
                "step": self.step,
                "best_value": self.best_value,
                "coach": type(self).__name__,
                "networks": {name: net.state_dict() for name, net in self.networks.items()},
                "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
                "random": random_state(),
                "extra": self.extra_state(),
            }
        )

    def _load_state(self, state: Mapping[str, Any]) -> None:
        if state["coach"] != type(self).__name__:
            raise InputError(f"{self.run.path} holds a run of {state['coach']}; choose another --exp_dir")
        try:
            for name, net in self.networks.items():
                net.load_state_dict(state["networks"][name])
            for name, optimizer in self.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
                restore_layout(optimizer)
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(
                f"the run in {self.run.path} was made with other networks or options; "
                f"use its own options or another --exp_dir"
            ) from error
        self.step = state["step"]
        self.best_value = state["best_value"]
        self.load_extra_state(state["extra"])
        set_random_state(state["random"])

    def autocast(self) -> Any:
        """Mixed precision as chosen by `--mixed_precision`."""
        return autocast(self.device, self.precision)


def say(text: str) -> None:
    """Prints once, however many processes train."""
    if is_main():
        print(text)


def seed_everything(seed: int) -> None:
    """Seeds Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def restore_layout(optimizer: torch.optim.Optimizer) -> None:
    """Gives loaded moments the memory layout of their parameters.

    Files hold plain contiguous tensors, while fused optimisers walk parameter and moments (of channels-last
    filters) in the order of memory and would otherwise pair the wrong numbers.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def random_state() -> dict[str, Any]:
    """Returns the state of the generators as plain containers and tensors."""
    version, words, gauss = random.getstate()
    state = {"torch": torch.get_rng_state(), "python": [version, list(words), gauss]}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Takes back what `random_state` returned."""
    torch.set_rng_state(state["torch"])
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def mean_figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Averages dictionaries of figures by name."""
    collected: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            collected[name].append(float(value))
    return {name: sum(values) / len(values) for name, values in collected.items()}
