"""How far the pictures of a StyleGAN2 are from photos, over all and in each class, and a sheet of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from datasets.faces import FaceFolder
from datasets.labels import LabelledFaces
from evaluation.report import write_report
from models.generator_files import FaceGenerator, load_face_generator
from models.stylegan2.op import choose_ops
from options.generator_evaluation_options import REPORT, SHEET, GeneratorEvaluationOptions
from training.generator_metrics import GeneratorMetrics, Measured
from utils.device import select_device, select_precision
from utils.errors import InputError
from utils.pictures.sheets import image_sheet
from utils.pictures.writing import save_pil

Row = dict[str, Any]


def report_generator(options: GeneratorEvaluationOptions, made_by: Mapping[str, Any]) -> None:
    """Writes ``generator.json``, ``generator.md`` and ``generator.png``.

    Args:
        options: what is measured.
        made_by: command, date and versions, which the figures begin with.

    Raises:
        InputError: a file or the photos cannot be used.
    """
    device = select_device(options.device)
    choose_ops(options.ops, device)
    generator = load_face_generator(options.checkpoint_path, device, options.groups)
    precision = select_precision(options.mixed_precision, device)
    generator.network.compute_dtype = None if precision == torch.float32 else precision
    photos = photos_for(generator, options)
    metrics = GeneratorMetrics(options, photos, device, None, options.test_workers, options.seed)
    measured = list(metrics.measure(generator.network))
    rows = figures_by_class(measured, metrics, photos)
    figures: Row = {
        **made_by,
        "checkpoint": options.checkpoint_path,
        "data": options.data_path,
        "photos": len(photos),
        "size": generator.network.size,
        "seed": options.seed,
        "samples": {one.metric: one.samples for one in measured},
        "rows": rows,
    }
    save_pil(samples_sheet(generator, options.n_samples, options.seed), Path(options.exp_dir) / SHEET)
    title = f"Pictures of {options.checkpoint_path}"
    write_report(options.exp_dir, REPORT, title, figures, table(rows, measured), notes(options, measured))


def photos_for(generator: FaceGenerator, options: GeneratorEvaluationOptions) -> FaceFolder:
    """The photos, with the classes of the generator where it has some.

    Raises:
        InputError: they cannot be used, or have other classes.
    """
    size = generator.network.size
    arguments: dict[str, Any] = {"resample": "lanczos", "own_output": options.own_output}
    if not generator.is_conditional:
        if options.cond or options.age_groups:
            raise InputError(f"{options.checkpoint_path} has no classes; leave --cond and --age_groups out")
        return FaceFolder(options.data_path, size, **arguments)
    if generator.groups is None and not options.cond:
        raise InputError(
            f"{options.checkpoint_path} does not say which ages its {len(generator.names)} classes have; "
            "name them with --age_groups, or give --cond for the labels in dataset.json"
        )
    groups = None if options.cond else generator.groups
    photos = LabelledFaces(options.data_path, size, groups, min_pictures=0, **arguments)
    if len(photos.classes) != len(generator.names):
        raise InputError(
            f"{options.data_path} has {len(photos.classes)} classes and {options.checkpoint_path} has "
            f"{len(generator.names)}; give the data set that it was trained on"
        )
    return photos


def figures_by_class(measured: list[Measured], metrics: GeneratorMetrics, photos: FaceFolder) -> list[Row]:
    """A row for all photos, then one for each class: their number, every metric, and halves of the photos."""
    names: list[str | None] = [None, *metrics.names]
    rows = []
    for number, name in enumerate(names, start=-1):
        counts = photos.counts if isinstance(photos, LabelledFaces) else []
        row: Row = {"class": name, "photos": len(photos) if name is None else counts[number]}
        for one in measured:
            row[one.metric] = one.total if name is None else one.classes.get(name)
            row[f"{one.metric}_halves"] = metrics.between_halves(one.metric, None if name is None else number)
        rows.append(row)
    return rows


def table(rows: list[Row], measured: list[Measured]) -> str:
    """The rows as Markdown."""
    columns = [name for one in measured for name in (one.metric, f"{one.metric}_halves")]
    titles = [name.replace("_halves", ", halves of the photos") for name in columns]
    lines = [_line(["class", "photos", *titles]), _line(["---"] * (2 + len(columns)))]
    for row in rows:
        cells = ["-" if row[name] is None else f"{row[name]:.4f}" for name in columns]
        lines.append(_line([row["class"] or "all", str(row["photos"]), *cells]))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def notes(options: GeneratorEvaluationOptions, measured: list[Measured]) -> list[str]:
    """What the figures mean."""
    found = []
    for one in measured:
        seen = "seen by the Inception network of torch-fidelity"
        if one.metric == "frechet":
            judges = f"{options.judge_identity} and {options.judge_age}"
            seen = f"seen by {judges}, each in units of its own spread over the photos: no FID"
        shares = ", classes as often as among the photos" if one.classes else ""
        found.append(f"{one.metric}: {one.samples} pictures{shares}; {seen}")
    if measured:
        found.append("halves of the photos: two random halves compared; fewer pictures make it larger")
    found.append(f"{SHEET}: a row for each class, the same latents in each")
    return found


@torch.no_grad()
def samples_sheet(generator: FaceGenerator, count: int, seed: int) -> Image.Image:
    """A row of pictures for each class on the same latents; of an unconditional generator one row."""
    network = generator.network
    z = torch.randn(count, network.style_dim, generator=torch.Generator().manual_seed(seed))
    z = z.to(network.input.input)
    rows = []
    for number in range(max(1, len(generator.names))):
        labels = None
        if generator.is_conditional:
            labels = torch.eye(len(generator.names)).to(z)[number].expand(count, -1)
        rows.append(network([z], randomize_noise=False, labels=labels)[0])
    return image_sheet(rows, generator.names or None)
