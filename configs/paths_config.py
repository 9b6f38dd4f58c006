"""Where weights and data live: the official names of SAM and MyTimeMachine, as absolute paths. Data only.

Put downloaded files where the table of `configs/weights.py` says, or change the entries here.
"""

from pathlib import Path

from configs.weights import WEIGHTS

REPOSITORY = Path(__file__).resolve().parents[1]

# Folders behind `--dataset_type=ffhq_aging`: training faces and test faces. Flags of the training script win.
dataset_paths: dict[str, str] = {
    "ffhq": str(REPOSITORY / "data" / "ffhq"),
    "celeba_test": str(REPOSITORY / "data" / "celeba_test"),
    "demo_person": str(REPOSITORY / "assets" / "demo_person"),
}

# Official names (`pretrained_psp` and its second official name) and, as `demo_...`, the bundled files.
model_paths: dict[str, str] = {name: str(REPOSITORY / weight.file) for name, weight in WEIGHTS.items()}
model_paths["pretrained_psp_encoder"] = model_paths["pretrained_psp"]
