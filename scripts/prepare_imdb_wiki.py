"""Turns IMDB-WIKI into a data set of faces {age}_{idx} for every coach.

The age is that in the middle of the year of the photo. Photos with no face, a second face or an age out of
range are left out; manifest.csv has the verdict on each. The originals are only read; the same command
continues an interrupted one.
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from datasets.imdb_wiki.faces import plan_face
from datasets.imdb_wiki.metadata import read_collections
from datasets.imdb_wiki.output import Verdicts, check_output, make_faces, report, write_manifest
from options.imdb_wiki_options import ImdbWikiOptions
from options.parser import parse_options
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the faces and the manifest, and prints how many photos had each verdict."""
    opts = parse_options(ImdbWikiOptions, arguments, __doc__ or "")
    output = Path(opts.output_dir)
    portraits, folders = read_collections(opts.metadata, opts.pictures_dir, opts.needs_boxes)
    refusals = enumerate(map(opts.filters.refusal, portraits))
    refused = {position: refusal for position, refusal in refusals if refusal}

    tasks = {
        position: plan_face(portrait, folders[portrait.collection], output, f".{opts.format}")
        for position, portrait in enumerate(portraits)
        if position not in refused
    }
    check_output(output, tasks.values(), folders.values())
    made = make_faces(list(tasks.values()), opts.form, opts.num_workers)
    outcomes = tqdm(made, "faces", len(tasks), unit="photo", disable=None)
    verdicts = Verdicts(portraits, refused, dict(zip(tasks, outcomes, strict=True)))

    write_manifest(verdicts, output)
    report(verdicts, output, folders.values())


if __name__ == "__main__":
    run_command(main)
