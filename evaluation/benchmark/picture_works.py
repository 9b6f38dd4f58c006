"""Work on pictures: one face at many ages, a folder of faces from file to file, and reading training data."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import torch

from datasets.faces import FaceFolder
from datasets.photos import Photos
from evaluation.benchmark.networks import Setting, random_psp
from evaluation.benchmark.reference import PublishedInference
from evaluation.benchmark.timing import Parts
from evaluation.benchmark.training_steps import Built, watch_network
from inference.results import write_results
from inference.run import InferenceRun
from models.aging_model import load_aging_model
from models.exported.card import ENCODER, GENERATOR
from models.exported.export import ExportSettings, export_model
from models.psp_aging import PSPAgingModel
from options.inference_options import InferenceOptions
from training.batches import BatchSource
from utils.compilation import compile_networks
from utils.pictures.tensors import to_pil
from utils.pictures.writing import save_pil

AGES = tuple(range(0, 101, 10))
FOLDER_AGES = (20, 40, 60, 80)
BATCHES = 2  # in the folders


def face_folder(setting: Setting, side: int) -> Path:
    """A folder of JPEG faces with ages in their names, some batches of them; written once."""
    folder = setting.folder / f"faces_{side}_{setting.batch}"
    if not folder.exists():
        for index, image in enumerate(setting.faces(side, BATCHES * setting.batch).cpu()):
            save_pil(to_pil(image), folder / f"{20 + index % 50}_{index}.jpg")
    return folder


def random_model(setting: Setting, precision: torch.dtype, parts: Parts) -> PSPAgingModel:
    """An ageing model that knows nothing of faces, as it is after loading."""
    net = random_psp(setting.sizes, setting.device)
    for encoder in (net.encoder, net.pretrained_encoder):
        if encoder is not None:
            encoder.to(memory_format=torch.channels_last)
    model = PSPAgingModel(net, precision).to(setting.device)
    watch_network(model.network, parts)
    compile_networks(model.networks(), setting.compile)
    return model


# ---------------------------------------------------------------- one face at many ages


def ages_of_a_face(setting: Setting, precision: torch.dtype) -> Built:
    """Faces at 11 ages each, through the contract of ageing models."""
    parts = Parts(setting.device)
    model = random_model(setting, precision, parts)
    images = setting.faces(model.input_size)
    years = [float(age) for age in AGES]
    return Built({"": lambda: model.age_path(images, years)}, parts)


def published_ages(setting: Setting) -> Built:
    """The same, one whole pass an age."""
    inference = PublishedInference(setting)
    images = setting.faces(setting.sizes.encoder.input_size)
    years = [float(age) for age in AGES]
    return Built({"": lambda: inference(images, years)}, inference.parts)


def exported_ages(setting: Setting, precision: str) -> Built:
    """The same by ONNX Runtime, of a model that is exported once."""
    folder = setting.folder / f"exported_{setting.sizes.pixels}_{precision}"
    if not folder.exists():
        model = PSPAgingModel(random_psp(setting.sizes, torch.device("cpu")))
        export_model(model, folder, ExportSettings((ENCODER, GENERATOR), precision))
    exported = load_aging_model(folder, setting.device)
    images = setting.faces(exported.input_size)
    years = [float(age) for age in AGES]
    return Built({"": lambda: exported.age_path(images, years)}, Parts(setting.device))


# ---------------------------------------------------------------- a folder of faces


def _silent(work: Callable[[], object]) -> Callable[[], None]:
    """The same work without what it prints."""

    def run() -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            work()

    return run


def folder_of_faces(setting: Setting, precision: torch.dtype) -> Built:
    """What ``scripts/inference.py`` does with a folder, from its files to those of the results."""
    parts = Parts(setting.device)
    model = random_model(setting, precision, parts)
    opts = InferenceOptions(
        exp_dir=str(setting.folder / "aged"),
        checkpoint_path="random.pt",
        data_path=str(face_folder(setting, setting.sizes.encoder.input_size)),
        target_age=",".join(map(str, FOLDER_AGES)),
        test_batch_size=setting.batch,
        test_workers=setting.workers,
        device=str(setting.device),
        ops=setting.ops,
    )
    return Built({"": _silent(lambda: write_results(InferenceRun(opts, model), opts))}, parts)


def published_folder(setting: Setting) -> Built:
    """The same one age after another, each picture written before the next batch is computed."""
    inference = PublishedInference(setting)
    side = setting.sizes.encoder.input_size
    source, results = face_folder(setting, side), setting.folder / "published"

    def work() -> None:
        for batch in Photos(source, side).batches(setting.batch, setting.workers):
            for age in FOLDER_AGES:
                (pictures,) = inference(batch.images.to(setting.device), [float(age)])
                for name, picture in zip(batch.names, pictures, strict=True):
                    save_pil(to_pil(picture), results / str(age) / name)

    return Built({"": work}, inference.parts)


# ---------------------------------------------------------------- training data


def reading(setting: Setting, precision: torch.dtype) -> Built:
    """Batches of training pictures on the device: of a folder in memory, and of one that is decoded."""
    side = setting.sizes.encoder.input_size
    folder = face_folder(setting, side)
    sources = {
        name: BatchSource(
            FaceFolder(folder, side, cache=cached, progress=False),
            setting.batch,
            workers=setting.workers,
            device=setting.device,
        )
        for name, cached in (("in memory", True), ("decoded", False))
    }
    return Built({name: source.next for name, source in sources.items()}, Parts(setting.device))
