"""Personalises the bundled SAM to the demo person and compares both on photos never seen: `make demo`."""

import _bootstrap  # noqa: F401

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from configs.paths_config import REPOSITORY, dataset_paths, model_paths
from evaluation.judges import Judges, load_judges
from evaluation.personal import (
    evaluate_personalization,
    life_span_picture,
    load_person,
    middle_photo,
    personalization_table,
    summarize_pairs,
)
from models.aging_model import load_aging_model
from options.train_options import parse_train_options
from training.coach_personalized import CoachPersonalized
from utils.device import select_device
from utils.errors import InputError, run_command
from utils.pictures.writing import save_pil

PRESET = REPOSITORY / "configs" / "demo" / "mytimemachine.args"


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--person", default=dataset_paths["demo_person"], metavar="DIR", help="with train/ and held_out/"
    )
    parser.add_argument(
        "--checkpoint_path", default=model_paths["demo_sam"], metavar="FILE", help="the global SAM"
    )
    parser.add_argument("--exp_dir", default=str(REPOSITORY / "runs" / "demo_person"), metavar="DIR")
    parser.add_argument(
        "--max_steps", type=int, default=None, help="steps of personalisation; default: the preset's"
    )
    parser.add_argument("--device", default="auto")
    return parser.parse_args(arguments)


def personalize(opts: argparse.Namespace) -> Path:
    """Trains the adapter and returns its checkpoint."""
    arguments = [f"@{PRESET}", f"--checkpoint_path={opts.checkpoint_path}", f"--exp_dir={opts.exp_dir}"]
    arguments += [f"--train_dataset={Path(opts.person) / 'train'}", f"--device={opts.device}"]
    arguments += [f"--age_classifier={model_paths['demo_age_classifier']}"]
    arguments += [f"--identity_network={model_paths['demo_identity']}"]
    if opts.max_steps:
        arguments.append(f"--max_steps={opts.max_steps}")
    train_options = parse_train_options(arguments)
    coach = CoachPersonalized(train_options)
    coach.train()
    return coach.run.checkpoints / f"iteration_{train_options.max_steps}.pt"


def compare(opts: argparse.Namespace, checkpoint: Path, judges: Judges) -> dict:
    """Judges both models on the held-out photos; writes table, figures and picture beside the run."""
    device = select_device(opts.device)
    global_model = load_aging_model(opts.checkpoint_path, device)
    personal_model = load_aging_model(checkpoint, device)
    truths = load_person(Path(opts.person) / "held_out", global_model.input_size)
    pairs = evaluate_personalization(global_model, personal_model, truths, judges)
    ages = load_person(Path(opts.person) / "train", 16).ages
    figures = summarize_pairs(pairs, (float(ages.min()), float(ages.max())))
    folder = Path(opts.exp_dir)
    picture = life_span_picture(global_model, personal_model, middle_photo(truths), truths)
    save_pil(picture, folder / "life_span.png")
    (folder / "figures.json").write_text(json.dumps(figures | {"judges": judges.cards()}, indent=2) + "\n")
    table = personalization_table(figures)
    (folder / "table.md").write_text(table + "\n")
    return {"table": table, "picture": folder / "life_span.png", "gain": figures["overall"]["gain"]}


def main() -> None:
    opts = parse_options()
    for path in (opts.checkpoint_path, opts.person):
        if not Path(path).exists():
            raise InputError(
                f"{path} is missing; restore it with `git checkout` or rebuild it with `make demo-weights`"
            )
    start = time.monotonic()
    judges = load_judges()
    result = compare(opts, personalize(opts), judges)
    print("\nIdentity similarity to the true picture, and years of age error, by judges that no loss used:\n")
    print(f"- {judges.age_card.sentence()}\n- {judges.identity_card.sentence()}\n")
    print(result["table"])
    gain = result["gain"]
    print(
        f"\nOver global SAM: identity {gain['similarity']:+.3f}, age error {gain['age_error']:+.1f} years. "
        f"{time.monotonic() - start:.0f} seconds."
    )
    print(f"The picture (true photos, global SAM, personalised): {result['picture']}")


if __name__ == "__main__":
    run_command(main)
