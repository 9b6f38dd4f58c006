"""Options of the metrics of a generator: which distances to photos, on how many pictures, seen how."""

import argparse
from dataclasses import dataclass

from options.judge_options import JudgeOptions
from utils.typed_options import at_least, option, path

# Each metric, and the generated pictures behind it if nobody says how many; of FID and KID as published.
METRICS = {"frechet": 2_000, "fid": 50_000, "kid": 50_000}
NONE = "none"


def metric_names(text: str) -> tuple[str, ...]:
    """Names of metrics separated by commas, each once; ``none`` stands for no metric."""
    names = tuple(dict.fromkeys(name for name in text.split(",") if name))
    unknown = [name for name in names if name not in METRICS and name != NONE]
    if unknown or not names or (NONE in names and len(names) > 1):
        problem = f"there is no metric {unknown[0]!r}" if unknown else f"{text!r} names no metrics"
        raise argparse.ArgumentTypeError(
            f"{problem}; there are {NONE}, or {', '.join(METRICS)} in any number"
        )
    return () if NONE in names else names


@dataclass(frozen=True, kw_only=True)
class MetricOptions(JudgeOptions):
    """Distances between generated pictures and photos."""

    title = "metrics: how far generated pictures are from the photos"

    metrics: tuple[str, ...] = option(
        (),
        metric_names,
        "none, or of: frechet (distance on the features of the two judges), fid and kid (of the Inception "
        "network, with the package torch-fidelity); at --val_interval, and the first makes best_model.pt",
        metavar="NAME,...",
    )
    metric_samples: int | None = option(
        None, at_least(2), "generated pictures behind a metric; default 2000 for frechet, else 50000"
    )
    inception_weights: str | None = option(
        None, path, "Inception network of torch-fidelity, where it is not in torch's cache", metavar="FILE"
    )

    def samples(self, metric: str) -> int:
        """How many pictures are generated for a metric."""
        return self.metric_samples or METRICS[metric]
