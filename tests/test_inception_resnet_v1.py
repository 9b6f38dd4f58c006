"""Inception-ResNet v1 against facenet-pytorch's layout and numbers, and as a face network of our own."""

from pathlib import Path
from typing import Any

import pytest
import torch

import parity
from models.auxiliary import load_identity
from models.inception_resnet_v1 import InceptionResnetV1
from models.kinds import checkpoint_kind
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint, save_checkpoint


def filled(entry: parity.Entry, **args: Any) -> InceptionResnetV1:
    return parity.fill(parity.quick(InceptionResnetV1, **args).eval(), entry)


@parity.each("facenet")
def test_numbers_are_official(entry: parity.Entry) -> None:
    """An embedding, or logits where it classifies."""
    with torch.no_grad():
        result = filled(entry, **entry["args"])(parity.inputs(entry)["x"])
    parity.check(result, entry, "logits" if entry["args"].get("classify") else "embedding")


def test_layout_is_official() -> None:
    with torch.device("meta"):
        state = InceptionResnetV1(num_classes=8631).state_dict()
    parity.check_layout(state, "facenet_vggface2")
    assert list(state) == list(parity.layout("facenet_vggface2"))


def test_official_file_is_an_identity_network(tmp_path: Path) -> None:
    network = filled(parity.first("facenet"), num_classes=7)
    path = save_checkpoint(network.state_dict(), tmp_path / "20180402-114759-vggface2.pt")
    assert checkpoint_kind(load_checkpoint(path)) == "facenet"
    identity = load_identity(path)
    faces = torch.rand(2, 3, 200, 200) * 2 - 1
    embeddings = identity.embed(faces)
    assert embeddings.shape == (2, 512) and not identity.network.logits.weight.requires_grad
    torch.testing.assert_close(embeddings, network(identity.prepare(faces)), atol=1e-5, rtol=1e-4)
    assert identity.prepare(faces).shape == (2, 3, 160, 160)


def test_file_without_head_and_damaged_file(tmp_path: Path) -> None:
    state = filled(parity.first("facenet")).state_dict()
    load_identity(save_checkpoint(state, tmp_path / "embedding.pt"))
    del state["mixed_6a.branch0.conv.weight"]
    with pytest.raises(InputError, match=r"missing mixed_6a\.branch0\.conv\.weight"):
        load_identity(save_checkpoint(state, tmp_path / "short.pt"))


def test_classifier_needs_classes() -> None:
    with pytest.raises(ValueError, match="num_classes"):
        InceptionResnetV1(classify=True)
