"""The bundled networks do what they are for: faces of 128 pixels, older where older was asked for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from torch import Tensor

from configs.paths_config import dataset_paths, model_paths
from datasets.faces import FaceFolder
from models.aging_model import AgingModel, KeepsBackground, load_aging_model
from models.judges import load_judges
from models.loading import load_into
from models.stylegan2.model import Generator, StyleGAN2Config
from utils.faces.alignment import align_photo
from utils.files.checkpoints import load_checkpoint
from utils.pictures.tensors import to_float

AGES = [10.0, 30.0, 50.0, 70.0]
SIZE = 128


@pytest.fixture(scope="module")
def sam() -> AgingModel:
    return load_aging_model(model_paths["demo_sam"])


@pytest.fixture(scope="module")
def photos(sam: AgingModel) -> Tensor:
    """A real photo (public domain), and some of the demo person that no training saw."""
    real = to_float(torch.from_numpy(align_photo(np.ascontiguousarray(astronaut()), SIZE)).permute(2, 0, 1))[
        None
    ]
    person = FaceFolder(Path(dataset_paths["demo_person"]) / "held_out", SIZE).batch([0, 5, 9, 13])["image"]
    return torch.cat([real, person])


def test_older_targets_look_older(sam: AgingModel, photos: Tensor) -> None:
    path = sam.age_path(photos, AGES)
    assert path.shape == (len(photos), len(AGES), 3, SIZE, SIZE)
    judged = load_judges().age.predict_age(path.flatten(0, 1)).view(len(photos), len(AGES))
    assert (judged.diff(dim=1) > 0).all(), judged
    assert (judged[:, -1] - judged[:, 0] > 25).all(), judged


def test_outputs_resemble_their_own_input(sam: AgingModel, photos: Tensor) -> None:
    """More than they resemble the other of two different people."""
    judge = load_judges().identity
    two = photos[[0, 2]]
    known = judge.embed(two)
    aged = judge.embed(sam.age_path(two, AGES).flatten(0, 1)).view(2, len(AGES), -1)
    similarity = torch.einsum("pad,qd->paq", aged, known)
    assert (similarity[0, :, 0] > similarity[0, :, 1]).all() and (
        similarity[1, :, 1] > similarity[1, :, 0]
    ).all()


def test_unchanged_age_rebuilds_the_photo(sam: AgingModel, photos: Tensor) -> None:
    """The photo at its own judged age, at the size that the encoder sees."""
    ages = load_judges().age.predict_age(photos)
    small = torch.nn.functional.interpolate(photos, sam.input_size, mode="area")
    output = torch.nn.functional.interpolate(sam.transform(photos, ages), sam.input_size, mode="area")
    error = (output - small).square().mean((1, 2, 3))
    spread = small.var((1, 2, 3))
    assert (error < 0.35 * spread).all(), error / spread


def test_re_aging_gan_ages_the_face_alone(photos: Tensor) -> None:
    model = load_aging_model(model_paths["demo_reaging_gan"])
    assert isinstance(model, KeepsBackground)
    small = torch.nn.functional.interpolate(photos, model.input_size, mode="area")
    path = model.age_path(small, AGES)
    judged = load_judges().age.predict_age(path.flatten(0, 1)).view(len(photos), len(AGES)).mean(0)
    assert (judged.diff() > 5).all() and judged[-1] - judged[0] > 25, judged
    masks = model.face_masks(small)
    assert masks is not None and 0.2 < float((masks > 0).float().mean()) < 0.9
    outside = (masks == 0).expand_as(small)
    for picture in path.unbind(1):
        assert torch.equal(picture[outside], small[outside])


def test_generator_invents_different_faces() -> None:
    checkpoint = load_checkpoint(model_paths["demo_stylegan2"])
    config = StyleGAN2Config.from_dict(checkpoint["opts"]["architecture"]["generator"])
    assert config.size == SIZE
    generator = Generator.from_config(config).eval()
    load_into(generator, checkpoint["g_ema"], "stylegan2.pt")
    z = torch.randn(32, config.style_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        images = generator([z], randomize_noise=False)[0].clamp(-1, 1)
        judges = load_judges()
        ages, faces = judges.age.predict_age(images), judges.identity.embed(images)
    assert ages.std() > 8, "random faces are of all ages"
    similarity = (faces @ faces.t())[~torch.eye(len(faces), dtype=torch.bool)]
    assert similarity.mean() < 0.4, "random faces are different people"


def test_dlibs_descriptor_judges_in_the_place_of_a_network(photos: Tensor) -> None:
    """Two photos of one person are more alike than either is to another person's."""
    pytest.importorskip("dlib")
    judges = load_judges(identity="dlib")
    ages, found = judges.measure(photos[None])
    assert ages.shape == (1, len(photos)) and judges.cards()["identity"]["file"] == "dlib"
    torch.testing.assert_close(found.norm(dim=2), torch.ones(1, len(photos)))
    similarity = found[0] @ found[0].t()
    assert similarity[2, 3] > max(similarity[0, 2], similarity[0, 3])
