"""Inception-ResNet v1 against facenet-pytorch's layout and numbers, and as a face network of our own."""

from pathlib import Path

import pytest
import torch

import parity
from models.auxiliary import load_identity
from models.inception_resnet_v1 import InceptionResnetV1
from models.kinds import checkpoint_kind
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint, save_checkpoint


def filled(num_classes: int | None, classify: bool = False) -> InceptionResnetV1:
    entry = parity.entry("facenet", "embedding/160")
    return parity.fill(parity.quick(InceptionResnetV1, num_classes, classify).eval(), entry)


@pytest.mark.parametrize("name", ["embedding", "logits"])
def test_numbers_are_official(name: str) -> None:
    entry = parity.entry("facenet", f"{name}/160")
    network = filled(entry["args"].get("num_classes"), entry["args"]["classify"])
    with torch.no_grad():
        parity.check(network(parity.inputs(entry)["x"]), entry, name)


def test_layout_is_official() -> None:
    with torch.device("meta"):
        state = InceptionResnetV1(num_classes=8631).state_dict()
    parity.check_layout(state, "facenet_vggface2")
    assert list(state) == list(parity.layout("facenet_vggface2"))


def test_official_file_is_an_identity_network(tmp_path: Path) -> None:
    network = filled(7)
    path = save_checkpoint(network.state_dict(), tmp_path / "20180402-114759-vggface2.pt")
    assert checkpoint_kind(load_checkpoint(path)) == "facenet"
    identity = load_identity(path)
    faces = torch.rand(2, 3, 200, 200) * 2 - 1
    embeddings = identity.embed(faces)
    assert embeddings.shape == (2, 512) and not identity.network.logits.weight.requires_grad
    torch.testing.assert_close(embeddings, network(identity.prepare(faces)), atol=1e-5, rtol=1e-4)
    assert identity.prepare(faces).shape == (2, 3, 160, 160)


def test_file_without_head_and_damaged_file(tmp_path: Path) -> None:
    state = filled(None).state_dict()
    load_identity(save_checkpoint(state, tmp_path / "embedding.pt"))
    del state["mixed_6a.branch0.conv.weight"]
    with pytest.raises(InputError, match=r"missing mixed_6a\.branch0\.conv\.weight"):
        load_identity(save_checkpoint(state, tmp_path / "short.pt"))


def test_classifier_needs_classes() -> None:
    with pytest.raises(ValueError, match="num_classes"):
        InceptionResnetV1(classify=True)
