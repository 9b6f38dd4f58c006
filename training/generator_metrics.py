"""How far the pictures of a generator are from photos: over all of them, and in each class."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from criteria.distribution_distance import LEAST, frechet_distance, kernel_distance
from datasets.faces import FaceFolder
from datasets.labels import LabelledFaces
from models.aging_model import PIXELS_AT_A_TIME
from models.feature_networks import FaceFeatures, FeatureNetwork, InceptionFeatures
from models.stylegan2.model import Generator
from options.metric_options import MetricOptions
from training.earlier_run import fingerprint
from training.randomness import step_generator
from utils.distributed import world_size
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint, save_checkpoint
from utils.parallel import worker_count
from utils.signals import held_signals

MOST_AT_ONCE = 64  # pictures that are generated and described together
DISTANCES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "frechet": frechet_distance,
    "fid": frechet_distance,
    "kid": kernel_distance,
}


@dataclass(frozen=True)
class Measured:
    """A metric of a generator.

    Attributes:
        metric: its name.
        total: over all classes, each as often as among the photos.
        classes: by the names of the classes that have photos enough.
        samples: generated pictures behind the total.
        seconds: that it took.
    """

    metric: str
    total: float
    classes: dict[str, float]
    samples: int
    seconds: float

    @property
    def figures(self) -> dict[str, float]:
        """The values by name: ``fid``, and ``fid_0-10`` of a class."""
        return {self.metric: self.total, **{f"{self.metric}_{name}": v for name, v in self.classes.items()}}

    def line(self, step: int, kimg: float) -> str:
        """A line of ``metric-NAME.jsonl``: the entries of stylegan2-ada-pytorch, and where training was."""
        minutes, seconds = divmod(round(self.seconds), 60)
        return json.dumps(
            {
                "results": self.figures,
                "metric": self.metric,
                "total_time": self.seconds,
                "total_time_str": f"{minutes}m {seconds:02d}s",
                "num_gpus": world_size(),
                "timestamp": time.time(),
                "step": step,
                "kimg": kimg,
                "samples": self.samples,
            }
        )


class GeneratorMetrics:
    """Compares generators with photos; the features of the photos are computed once.

    The same latents and noise are drawn at every call, and nothing else draws from them.

    Args:
        opts: which metrics, on how many pictures.
        photos: of the generator's size, as they come, with classes where it is conditional.
        device: where everything is computed.
        kept: folder in which the features of the photos are kept for the next start; None keeps none.
        workers: processes that decode photos which are not held in memory.
        seed: of latents and noise.

    Raises:
        InputError: a network is not there.
    """

    def __init__(
        self,
        opts: MetricOptions,
        photos: FaceFolder,
        device: torch.device,
        kept: Path | None = None,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        self.opts, self.photos, self.device = opts, photos, device
        self._kept, self._workers, self._seed = kept, workers, seed
        self._networks = {network.name: network for network in _networks(opts, device)}
        self._features: dict[str, Tensor] = {}
        self.names: tuple[str, ...] = photos.classes.names if isinstance(photos, LabelledFaces) else ()
        labels = photos.label_of if isinstance(photos, LabelledFaces) else None
        self._labels = torch.zeros(len(photos), dtype=torch.int64) if labels is None else labels
        if len(photos) < LEAST:
            raise InputError(f"--metrics: {photos.folder} has {len(photos)} pictures; give more of them")

    def measure(self, generator: Generator) -> Iterator[Measured]:
        """Measures a generator by every metric; it renders in its own precision.

        Args:
            generator: of as many classes as the photos have.
        """
        made: dict[str, list[Tensor]] = {}
        for metric in self.opts.metrics:
            begin = time.perf_counter()
            network = self._networks[_network_of(metric)]
            key = f"{network.name} {self.opts.samples(metric)}"
            photos = self.of_photos(network)
            counts = self.counts(self.opts.samples(metric))
            if key not in made:
                made[key] = [
                    self._of_class(generator, network, number, counts) for number in range(len(counts))
                ]
            yield self._compared(metric, network, photos, made[key], counts, begin)

    def _compared(
        self,
        metric: str,
        network: FeatureNetwork,
        photos: Tensor,
        made: list[Tensor],
        counts: list[int],
        begin: float,
    ) -> Measured:
        """One metric, from the features of the photos (N, D) and those of the pictures of each class."""
        distance, scales = DISTANCES[metric], network.scales(photos)
        together = torch.cat([part[:count] for part, count in zip(made, counts, strict=True)])
        total = distance(photos * scales, together * scales)
        classes = {}
        for number, name in enumerate(self.names):
            own = photos[self._labels == number]
            if min(len(own), len(made[number])) >= LEAST:
                classes[name] = distance(own * scales, made[number] * scales)
        return Measured(metric, total, classes, sum(counts), time.perf_counter() - begin)

    def between_halves(self, metric: str, number: int | None = None) -> float | None:
        """What a metric says of two random halves of the photos: how near it can be told to come.

        Args:
            metric: its name.
            number: of a class; None for all photos.

        Returns:
            The distance, or None where there are too few photos.
        """
        network = self._networks[_network_of(metric)]
        photos = self.of_photos(network)
        own = photos if number is None else photos[self._labels == number]
        order = torch.randperm(len(own), generator=torch.Generator().manual_seed(self._seed))
        first, second = (own[part] * network.scales(photos) for part in order.tensor_split(2))
        return DISTANCES[metric](first, second) if min(len(first), len(second)) >= LEAST else None

    def counts(self, samples: int) -> list[int]:
        """Pictures of each class among so many, as often as among the photos; of no class: one number."""
        shares = torch.bincount(self._labels, minlength=max(1, len(self.names))).double()
        exact = shares / shares.sum() * samples
        counts = exact.floor().long()
        most = (exact - counts).argsort(descending=True, stable=True)
        counts[most[: samples - int(counts.sum())]] += 1
        return counts.tolist()

    # ---------------------------------------------------------------- features

    @torch.no_grad()
    def of_photos(self, network: FeatureNetwork) -> Tensor:
        """Features (N, D) of all photos, none of them mirrored, on the CPU."""
        if network.name not in self._features:
            path = None if self._kept is None else self._kept / f"metric-photos-{network.name}.pt"
            key = {"photos": fingerprint(self.photos), "size": self.photos.size, "networks": network.sources}
            known = _read_features(path, key)
            if known is None:
                total, title = -(-len(self.photos) // self._at_once), f"{network.name} features of photos"
                batches = tqdm(self._batches(), title, total, leave=False, unit="batch")
                known = torch.cat([network(batch.to(self.device)).cpu() for batch in batches])
                if path is not None:
                    save_checkpoint({"kind": "metric_features", "key": key, "features": known}, path)
            self._features[network.name] = known
        return self._features[network.name]

    def _batches(self) -> Iterable[Tensor]:
        """The photos in their order, some at a time."""
        parts = torch.arange(len(self.photos)).split(self._at_once)
        if self.photos.images is not None:
            return (self.photos.batch(part.tolist())["image"] for part in parts)
        loader: DataLoader[Any] = DataLoader(
            self.photos, self._at_once, num_workers=worker_count(self._workers), collate_fn=_pictures
        )
        with held_signals():
            return iter(loader)

    @property
    def _at_once(self) -> int:
        return max(1, min(MOST_AT_ONCE, PIXELS_AT_A_TIME // self.photos.size**2))

    @torch.no_grad()
    def _of_class(
        self, generator: Generator, network: FeatureNetwork, number: int, counts: list[int]
    ) -> Tensor:
        """Features (N, D) of pictures of a class: as many as count in the total, or an even share."""
        samples = max(counts[number], -(-sum(counts) // len(counts)))
        draws = step_generator(self._seed, number)
        noise_draws = torch.Generator(self.device).manual_seed(int(draws.initial_seed()))
        label = torch.eye(len(counts), device=self.device)[number] if self.names else None
        parts = [self._at_once] * (samples // self._at_once) + [samples % self._at_once]
        found = []
        title = f"{network.name} features of {self.names[number] if self.names else 'pictures'}"
        for size in tqdm([part for part in parts if part], title, leave=False, unit="batch"):
            z = torch.randn(size, generator.style_dim, generator=draws).to(self.device)
            noise = [
                torch.randn(
                    size, *plane.shape[1:], generator=noise_draws, device=self.device, dtype=plane.dtype
                )
                for plane in generator.noise_buffers()
            ]
            labels = None if label is None else label.expand(size, -1)
            found.append(network(generator([z], noise=noise, labels=labels)[0]).cpu())
        return torch.cat(found)


def _pictures(samples: Sequence[dict[str, Any]]) -> Tensor:
    """The pictures (B, 3, S, S) of some samples."""
    return torch.stack([sample["image"] for sample in samples])


def _network_of(metric: str) -> str:
    return FaceFeatures.name if metric == "frechet" else InceptionFeatures.name


def _networks(opts: MetricOptions, device: torch.device) -> Iterator[FeatureNetwork]:
    """The networks that the metrics need."""
    needed = {_network_of(metric) for metric in opts.metrics}
    if FaceFeatures.name in needed:
        yield FaceFeatures(opts.judge_identity, opts.judge_age, device)
    if InceptionFeatures.name in needed:
        yield InceptionFeatures(opts.inception_weights, device)


def _read_features(path: Path | None, key: dict[str, Any]) -> Tensor | None:
    """Features of the same photos by the same network from an earlier start, if there are any."""
    if path is None or not path.is_file():
        return None
    try:
        content = load_checkpoint(path)
    except InputError:
        return None
    features = content.get("features")
    return features if content.get("key") == key and isinstance(features, Tensor) else None
