"""What is known of the terms of a file: from the table, the file itself, or the files it began with."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from configs.paths_config import model_paths
from configs.weights import WEIGHTS
from models import licences
from models.licences import UNKNOWN, licence_of
from utils.files.checkpoints import load_checkpoint


def test_a_bundled_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    bundled = Path(model_paths["demo_reaging_gan"])
    copy = shutil.copy(bundled, tmp_path / "mine.pt")
    wanted = WEIGHTS["demo_reaging_gan"].licence
    assert licence_of(bundled, load_checkpoint(bundled)) == licence_of(copy, {}) == wanted
    with Path(copy).open("ab") as file:
        file.write(b"more")
    assert licence_of(copy, {}) == UNKNOWN


def test_a_published_file_is_known_by_name_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        licences, "WEIGHTS", {"dex": WEIGHTS["age_predictor"], "sam": WEIGHTS["sam_ffhq_aging"]}
    )
    for name, wanted in (
        ("dex_age_classifier.pth", WEIGHTS["age_predictor"].licence),
        ("sam_ffhq_aging.pt", UNKNOWN),
    ):
        (tmp_path / name).write_bytes(b"1234")  # of another size than the published SAM
        assert licence_of(tmp_path / name, {}) == wanted


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({"licence": "as its owner\nsays"}, "as its owner says"),
        (
            {"opts": {"checkpoint_path": "/there/sam_ffhq_aging.pt"}},
            "it began with sam_ffhq_aging.pt: MIT code",
        ),
        (
            {"opts": {"checkpoint_path": "C:\\x\\pretrained_models\\demo\\sam.pt"}},
            "it began with sam.pt: research use",
        ),
        ({"opts": {"checkpoint_path": "runs/sam.pt", "stylegan_weights": None}}, UNKNOWN),
        ({"opts": {"checkpoint_path": 7}}, UNKNOWN),
        ({}, UNKNOWN),
    ],
)
def test_other_files_tell_what_they_can(content: dict[str, Any], wanted: str) -> None:
    assert wanted in licence_of("gone.pt", content)


def test_a_file_that_was_named_and_not_read_counts_for_nothing() -> None:
    opts = {"checkpoint_path": "demo/sam.pt", "stylegan_weights": "stylegan2-ffhq-config-f.pt"}
    assert "NVIDIA" not in licence_of("gone.pt", {"opts": opts})
    assert "NVIDIA" in licence_of("gone.pt", {"opts": {**opts, "checkpoint_path": None}})
