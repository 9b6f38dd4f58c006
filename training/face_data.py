"""The pictures that pSp and SAM train on, and those by which one watches them."""

import torch

from datasets.faces import FaceFolder
from options.encoder_options import EncoderTrainOptions
from training.batches import BatchSource
from training.watched_pictures import WatchedPictures, load_test_pictures, test_folder
from utils.distributed import is_main
from utils.notes import note


def load_face_data(
    opts: EncoderTrainOptions, size: int, start_step: int, device: torch.device
) -> tuple[BatchSource, WatchedPictures]:
    """Training batches and fixed test pictures, all `size` pixels wide.

    Raises:
        InputError: a folder cannot be used.
    """
    data = FaceFolder(opts.train_dataset, size, own_output=opts.own_output)
    batches = BatchSource(
        data,
        opts.batch_size,
        seed=opts.seed,
        start_step=start_step,
        workers=opts.workers,
        device=device,
    )
    test = load_test_pictures(test_folder(opts), size, opts.n_test, opts.own_output)
    if test is None and is_main():
        note("without --test_dataset there is no validation and no best_model.pt")
    return batches, WatchedPictures(test, data, device)
