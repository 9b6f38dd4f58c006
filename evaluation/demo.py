"""The demonstration: SAM personalised to the demo person, and both models judged on photos never seen."""

from dataclasses import dataclass
from pathlib import Path

from datasets.faces import FaceFolder
from datasets.person_photos import load_person, middle_photo
from evaluation.personal import evaluate_personalization
from evaluation.summaries import summarize_pairs
from evaluation.tables import personalization_table
from models.aging_model import load_aging_model
from models.judges import Judges
from options.demo_options import DemoOptions
from training.life_span import life_span
from training.start import make_coach
from utils.device import select_device
from utils.files.writing import write_json, write_text
from utils.pictures.writing import save_pil


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration shows.

    Attributes:
        table: Markdown, by age.
        picture: file with the life spans.
        gain: of the personalised over the global model: ``similarity``, ``age_error`` in years.
    """

    table: str
    picture: Path
    gain: dict[str, float]


def personalize(options: DemoOptions) -> Path:
    """Trains the adapter and returns its checkpoint.

    Raises:
        InputError: the photos or a file cannot be used.
    """
    train_options = options.training_options()
    coach = make_coach(train_options)
    coach.train()
    return coach.run.checkpoints / f"iteration_{train_options.max_steps}.pt"


def compare(options: DemoOptions, checkpoint: Path, judges: Judges) -> DemoResult:
    """Judges both models on the held-out photos; writes table, figures and picture beside the run.

    Raises:
        InputError: the photos or a file cannot be used.
    """
    device = select_device(options.device)
    global_model = load_aging_model(options.checkpoint_path, device)
    personal_model = load_aging_model(checkpoint, device)
    truths = load_person(Path(options.person) / "held_out", global_model.input_size)
    pairs = evaluate_personalization(global_model, personal_model, truths, judges)
    trained_on = FaceFolder(Path(options.person) / "train", global_model.input_size, True, cache=False)
    ages = trained_on.ages
    figures = summarize_pairs(pairs, (float(ages.min()), float(ages.max())))
    folder = Path(options.exp_dir)
    table, picture = personalization_table(figures), folder / "life_span.png"
    save_pil(life_span(global_model, personal_model, middle_photo(truths), truths).picture(), picture)
    write_json({**figures, "judges": judges.cards()}, folder / "figures.json")
    write_text(table + "\n", folder / "table.md")
    return DemoResult(table, picture, figures["overall"]["gain"])
