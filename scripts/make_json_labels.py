"""Writes the classes of a folder of pictures, or of a zip archive, as NVIDIA's dataset.json."""

import _bootstrap  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

from datasets.labels import (
    ClassLabels,
    class_folders,
    labels_by_age,
    labels_by_folder,
    labels_path,
    write_labels,
)
from options.label_options import LabelOptions
from options.parser import parse_options
from utils.age_groups import decades
from utils.errors import one_line, run_command
from utils.pictures.listing import list_images


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the labels and prints how many pictures each class has."""
    opts = parse_options(LabelOptions, arguments, __doc__ or "")
    data, groups = Path(opts.input_folder), opts.groups
    pictures = list_images(data)
    if groups is None and class_folders(data, pictures):
        labels = labels_by_folder(data, pictures)
    else:
        labels = labels_by_age(data, pictures, groups or decades())
    if opts.verbose:
        for name, number in sorted(labels.of.items()):
            print(one_line(f"{name}  {labels.names[number]}"))
    show(labels, len(pictures))
    labels.require_pictures(labels.counts, opts.min_pictures, data)
    target = labels_path(data)
    written = write_labels(labels, Path(opts.output_folder or target.parent) / target.name)
    print(f"written: {written}")


def show(labels: ClassLabels, pictures: int) -> None:
    """Prints a table of the classes."""
    width = max(len("class"), *map(len, labels.names))
    print(f"{'label':>5}  {'class':<{width}}  pictures")
    for number, (name, count) in enumerate(zip(labels.names, labels.counts, strict=True)):
        print(f"{number:>5}  {one_line(name):<{width}}  {count:>8}")
    if len(labels.of) < pictures:
        print(f"{pictures - len(labels.of)} of {pictures} pictures have no class: no group has their age")


if __name__ == "__main__":
    run_command(main)
