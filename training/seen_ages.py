"""What age classifiers see in photos of each age, which is not that age: the old look younger to them."""

from collections.abc import Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from datasets.faces import FaceFolder
from models.auxiliary import AgeClassifier
from utils.distributed import rank
from utils.errors import InputError
from utils.local_regression import LEAST, by_whole_year
from utils.pictures.tensors import resize
from utils.spacing import evenly

PHOTOS = 4096


@torch.no_grad()
def seen_ages(
    classifiers: Sequence[AgeClassifier], data: FaceFolder, size: int, device: torch.device
) -> Tensor:
    """The mean age that each classifier sees in photos of 0, 1, ... 100 years: (classifiers, 101) years.

    Args:
        classifiers: the networks.
        data: training photos with ages in their names; at most 4,096 of them are looked at.
        size: side at which the classifiers see pictures in training.
        device: where they compute.

    Raises:
        InputError: fewer than 20 photos have an age.
    """
    items = torch.nonzero(~data.ages.isnan()).flatten()
    if len(items) < LEAST:
        raise InputError(
            f"{data.folder}: --aging_targets=photos needs ages in the names ({{age}}_{{idx}}) of at least "
            f"{LEAST} photos, and {len(items)} have one"
        )
    items = items[evenly(len(items), PHOTOS)]
    found = []
    bar = tqdm(items.split(64), "ages of photos", unit="batch", leave=False, disable=rank() > 0)
    for part in bar:
        images = resize(data.batch(part.tolist())["image"].to(device), size)
        found.append(torch.stack([network.predict_age(images).float() for network in classifiers]))
    return by_whole_year(data.ages[items].double(), torch.cat(found, dim=1).cpu().double()).float().to(device)
