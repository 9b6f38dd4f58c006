"""Coach of the identity network: ArcFace margin on folders of people, or a network as teacher."""

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from datasets.faces import FaceFolder
from models.auxiliary import IdentityNetwork, load_identity, network_checkpoint
from models.loading import load_into
from options.identity_options import IdentityOptions
from training.auxiliary_training import AuxiliaryCoach, identity_of, network_architecture
from training.hard_pictures import hardened
from utils.distributed import is_main
from utils.errors import InputError
from utils.faces.boxes import FACE_CROP
from utils.faces.descriptor import DESCRIPTOR_LENGTH, FaceDescriptor
from utils.files.writing import written_atomically
from utils.pictures.listing import find_pictures
from utils.pictures.opening import digest_of
from utils.pictures.reading import read_pixels

TEACHER_SIZE = 128
SAVE_EVERY = 500  # pictures


class ArcFaceHead(nn.Module):
    """Additive angular margin (Deng et al. 2019, equation 3)."""

    def __init__(self, embedding_dim: int, people: int, scale: float, margin: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(people, embedding_dim))
        self.scale = scale
        self.margin = margin

    def forward(self, embeddings: Tensor, people: Tensor) -> Tensor:
        """Cross entropy of (B, D) unit embeddings and (B,) indices of people."""
        cosine = (embeddings @ F.normalize(self.weight, dim=1).t()).clamp(-1 + 1e-6, 1 - 1e-6)
        angle = cosine.acos() + self.margin * F.one_hot(people, len(self.weight))
        # Beyond pi the cosine would rise again; ArcFace's continuation keeps it falling.
        widened = torch.where(angle <= math.pi, angle.cos(), -2 - angle.cos())
        return F.cross_entropy(self.scale * widened, people)


class CoachIdentity(AuxiliaryCoach[IdentityOptions]):
    """Trains unit embeddings of aligned faces.

    With a network as teacher the target of a picture is its embedding; with dlib's its descriptor, centred on
    the mean of the folder and scaled to unit length (descriptors of different people lie close together,
    centred ones do not); the loss is one minus the cosine with the target plus the squared error of all
    pairwise cosines in the batch.
    """

    best_metric = "validation_loss"

    def build(self) -> None:
        opts = self.opts
        self.teacher = self._choose_teacher()
        network = self._teacher_network()
        dimension = DESCRIPTOR_LENGTH if self.teacher == "dlib" else opts.embedding_dim
        if network is not None:
            dimension = network.embed(
                torch.zeros(1, 3, TEACHER_SIZE, TEACHER_SIZE, device=self.device)
            ).shape[1]
        # What the network sees is the face box of the aligned picture, as in the identity loss.
        self.build_supervised(
            network_architecture(opts, dimension, normalize=True) | {"crop": FACE_CROP.edges()}
        )
        if network is not None and opts.start_from_teacher:
            load_into(self.network, network.network.state_dict(), str(opts.teacher_network))
            self.averaged.load_state_dict(self.network.state_dict())
        data = self.load_folder(opts.train_dataset, False, opts.share)
        self.test_data = self.load_folder(opts.test_dataset, False) if opts.test_dataset else None
        if self.teacher == "dlib":
            descriptors = dlib_descriptors(data)
            self.mean = descriptors.mean(0)
            self.targets = centred(descriptors, self.mean).to(self.device)
            if self.test_data is not None:
                self.test_targets = centred(dlib_descriptors(self.test_data), self.mean)
            self.build_optimizer()
        elif network is not None:
            self.targets = embeddings_of(network, data, self.device)
            if self.test_data is not None:
                self.test_targets = embeddings_of(network, self.test_data, self.device).cpu()
            self.build_optimizer()
        else:
            names = [identity_of(path, Path(opts.train_dataset)) for path in data.paths]
            people = sorted(set(names))
            self.targets = torch.tensor([people.index(name) for name in names], device=self.device)
            self.head = ArcFaceHead(dimension, len(people), opts.scale, opts.margin).to(self.device)
            self.state.register(head=self.head)
            self.build_optimizer(self.head)
        self.batches = self.make_batches(data)

    @property
    def picture_size(self) -> int:
        """The face box must still hold `input_size` pixels, so aligned pictures are kept larger."""
        return 2 ** math.ceil(math.log2(self.opts.input_size / (FACE_CROP.bottom - FACE_CROP.top)))

    def _teacher_network(self) -> IdentityNetwork | None:
        path = self.opts.teacher_network
        return None if path is None else load_identity(path, self.device)

    def _choose_teacher(self) -> str:
        if self.opts.teacher == "network":
            return "network"
        root = Path(self.opts.train_dataset)
        below = [path.relative_to(root) for path in find_pictures(root, self.opts.own_output).pictures]
        folders = {path.parts[0] for path in below if len(path.parts) > 1}
        if self.opts.teacher == "folders" and len(folders) < 2:
            raise InputError(f"{root} has no folders of people; use --teacher=dlib for unlabelled faces")
        if self.opts.teacher == "auto":
            return "folders" if len(folders) >= 2 else "dlib"
        return self.opts.teacher

    def _embed(self, network: nn.Module, images: Tensor) -> Tensor:
        images = F.adaptive_avg_pool2d(FACE_CROP(images), self.opts.input_size)
        with self.autocast():
            out = network(images)
        return F.normalize(out.float(), dim=1)

    def losses(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        images, target = batch["image"], self.targets[batch["index"]]
        if self.opts.hard_radius:
            images = hardened(images, self.opts.hard_radius, lambda changed: self._loss(changed, target)[0])
        return self._loss(images, target)

    def _loss(self, images: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        embeddings = self._embed(self.network, images)
        if self.teacher == "folders":
            loss = self.head(embeddings, target)
            return loss, {"arcface": loss}
        distance, relation = distillation_losses(embeddings, target)
        loss = distance + self.opts.relation_lambda * relation
        return loss, {"distance": distance, "relation": relation}

    @torch.no_grad()
    def validation_step(self) -> dict[str, float]:
        if self.test_data is None:
            return {}
        embedded = self.on_test_data(lambda images: self._embed(self.averaged, images))
        if self.teacher == "folders":
            names = [identity_of(path, self.test_data.folder) for path in self.test_data.paths]
            return {"validation_loss": 1 - nearest_is_same(embedded, names)}
        distance, relation = distillation_losses(embedded, self.test_targets)
        return {
            "validation_loss": float(distance + relation),
            "similarity_to_teacher": 1 - float(distance),
            "pair_correlation": pair_correlation(embedded, self.test_targets),
        }

    def weights(self) -> dict[str, Any]:
        return network_checkpoint(
            self.opts.kind, self.architecture, self.averaged, opts=self.record, teacher=self.teacher
        )


def distillation_losses(embeddings: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """One minus the cosine with the target, and squared error of pairwise cosines, of (B, D) unit vectors."""
    distance = 1 - (embeddings * targets).sum(1).mean()
    relation = (embeddings @ embeddings.t() - targets @ targets.t()).square().mean()
    return distance, relation


def pair_correlation(embeddings: Tensor, targets: Tensor) -> float:
    """Correlation of student and teacher similarity over all pairs of different pictures."""
    above = torch.triu_indices(len(embeddings), len(embeddings), 1)
    pairs = [(x @ x.t())[above[0], above[1]] for x in (embeddings, targets)]
    return float(torch.corrcoef(torch.stack(pairs))[0, 1])


def nearest_is_same(embeddings: Tensor, names: list[str]) -> float:
    """Share of pictures whose most similar other picture shows the same person."""
    similarity = embeddings @ embeddings.t()
    similarity.fill_diagonal_(-2)
    nearest = similarity.argmax(1).tolist()
    return float(np.mean([names[i] == names[j] for i, j in enumerate(nearest)]))


@torch.no_grad()
def embeddings_of(network: IdentityNetwork, data: FaceFolder, device: torch.device) -> Tensor:
    """Unit embeddings (N, D) of all pictures of a folder."""
    parts = torch.arange(len(data)).split(64)
    bar = tqdm(parts, "embeddings of the teacher", unit="batch", leave=False, disable=not is_main())
    return torch.cat([network.embed(data.batch(part.tolist())["image"].to(device)) for part in bar])


def centred(descriptors: Tensor, mean: Tensor) -> Tensor:
    """Unit vectors about the mean of all faces."""
    return F.normalize(descriptors - mean, dim=1)


def dlib_descriptors(data: FaceFolder) -> Tensor:
    """Returns the (N, 128) dlib descriptors of a folder; those of known pictures come from a cache."""
    cache = Path(torch.hub.get_dir()).parent / "agelab" / "dlib_descriptors.safetensors"
    known: dict[str, Tensor] = {}
    with contextlib.suppress(OSError, SafetensorError):  # a damaged cache is made again
        known = load_file(cache)
    keys = [digest_of(path)[:24] for path in data.paths]
    missing = {key: path for key, path in zip(keys, data.paths, strict=True) if key not in known}
    if missing:
        descriptor = FaceDescriptor()
        for done, (key, path) in enumerate(
            tqdm(missing.items(), "dlib descriptors", unit="picture"), start=1
        ):
            known[key] = torch.from_numpy(descriptor(read_pixels(path, TEACHER_SIZE)))
            if done % SAVE_EVERY == 0 or done == len(missing):
                with written_atomically(cache) as temporary:
                    save_file(known, temporary)
    return torch.stack([known[key] for key in keys])
