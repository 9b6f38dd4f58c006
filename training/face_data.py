"""The pictures that pSp and SAM train on, and those by which one watches them."""

import torch

from datasets.faces import FaceFolder
from datasets.sampling import balancing_weights
from options.encoder_options import EncoderTrainOptions
from training.batches import BatchSource
from training.watched_pictures import WatchedPictures, load_test_pictures, test_folder
from utils.distributed import is_main
from utils.notes import note


def load_face_data(
    opts: EncoderTrainOptions, size: int, start_step: int, device: torch.device, age_balance: float = 0.0
) -> tuple[BatchSource, WatchedPictures]:
    """Training batches and fixed test pictures.

    Args:
        opts: of the training.
        size: side of the pictures.
        start_step: of the training.
        device: where batches are needed.
        age_balance: 0: photos as in the data, 1: all age groups alike, by the ages in their names.

    Raises:
        InputError: a folder cannot be used.
    """
    balanced = age_balance > 0
    data = FaceFolder(opts.train_dataset, size, require_age=balanced, own_output=opts.own_output)
    weights = balancing_weights(data.ages.tolist(), power=age_balance).tolist() if balanced else None
    batches = BatchSource(
        data,
        opts.batch_size,
        seed=opts.seed,
        start_step=start_step,
        workers=opts.workers,
        device=device,
        weights=weights,
    )
    test = load_test_pictures(test_folder(opts), size, opts.n_test, opts.own_output)
    if test is None and is_main():
        note("without --test_dataset there is no validation and no best_model.pt")
    return batches, WatchedPictures(test, data, device)
