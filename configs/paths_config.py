"""Where weights and data live: the official names of SAM and MyTimeMachine, as absolute paths. Data only.

`scripts/download_weights.py` puts the files of the table of `configs/weights.py` where they are looked for:
into `pretrained_models/`, or into the folder that the environment variable `AGELAB_WEIGHTS` names.
"""

import os
from pathlib import Path

from configs.weights import WEIGHTS

REPOSITORY = Path(__file__).resolve().parents[1]
WEIGHTS_VARIABLE = "AGELAB_WEIGHTS"
WEIGHTS_FOLDER = Path(os.environ.get(WEIGHTS_VARIABLE) or REPOSITORY / "pretrained_models").absolute()

# Folders of faces. Flags of the training script win.
dataset_paths: dict[str, str] = {
    "ffhq": str(REPOSITORY / "data" / "ffhq"),
    "celeba_test": str(REPOSITORY / "data" / "celeba_test"),
    "demo_person": str(REPOSITORY / "assets" / "demo_person"),
}

# Training and test faces of each `--dataset_type`.
DATASETS: dict[str, tuple[str, str]] = {"ffhq_aging": ("ffhq", "celeba_test")}

# Official names (`pretrained_psp` and its second official name) and, as `demo_...`, the bundled files.
model_paths: dict[str, str] = {
    name: str(REPOSITORY / weight.file if weight.bundled else WEIGHTS_FOLDER / weight.name)
    for name, weight in WEIGHTS.items()
}
model_paths["pretrained_psp_encoder"] = model_paths["pretrained_psp"]
