"""Loads what ages faces, as the options of a command say, with the encoder that belongs to it."""

from pathlib import Path

from configs.paths_config import model_paths
from inference.path_model import with_given_codes
from inference.target_years import input_ages
from models.aging_model import AgingModel, LatentModel, StyleModel, TakesGlobalEncoder, load_aging_model
from models.kinds import KINDS
from models.stylegan2.op import choose_ops
from options.ageing_options import AgeingOptions, LoadingOptions
from utils.compilation import compile_networks
from utils.device import select_device
from utils.distributed import own_device
from utils.errors import InputError, naming
from utils.notes import note


def load_model(opts: AgeingOptions) -> AgingModel:
    """Loads the model of a command, with all that belongs to it.

    That is the global encoder that an official personalised file needs, ``--refine_steps`` and ``--codes``.

    Raises:
        InputError: device, operators or a file cannot be used.
    """
    return given_codes(load_with_encoder(opts), opts)


def load_with_encoder(opts: LoadingOptions) -> AgingModel:
    """Loads the model of a command with the global encoder that an official personalised file needs.

    Raises:
        InputError: as :func:`load_as_it_is`.
    """
    model = load_as_it_is(opts)
    if opts.global_checkpoint is None:
        replace_drifted_encoder(model, opts.checkpoint)
    return model


def given_codes(model: AgingModel, opts: AgeingOptions) -> AgingModel:
    """The model with the codes that a command asks for, see :func:`with_given_codes`."""
    device = own_device(select_device(opts.device))
    return with_given_codes(model, opts, input_ages(opts, model.crop, device), device)


def load_as_it_is(opts: LoadingOptions) -> AgingModel:
    """Loads the model of a command without looking for a global encoder that was not given.

    Raises:
        InputError: device, operators or a file cannot be used.
    """
    device = own_device(select_device(opts.device))
    choose_ops(opts.ops, device)
    with naming(opts.checkpoint_flag):
        model = load_aging_model(opts.checkpoint, device, None, opts.mixed_precision, opts.encoder_path)
    if opts.global_checkpoint is not None:
        with naming("--global_checkpoint"):
            if not isinstance(model, TakesGlobalEncoder):
                kind = KINDS[model.kind].title
                raise InputError(f"for MyTimeMachine checkpoints only; {opts.checkpoint} is {kind}")
            model.take_global_encoder(opts.global_checkpoint)
    compile_networks(model.networks(), opts.compile)
    return model


def load_style_model(opts: AgeingOptions) -> StyleModel:
    """Loads the model of a command that works on W+ codes.

    Raises:
        InputError: as :func:`load_model`, or the model has no styles.
    """
    return with_styles(load_model(opts), opts.checkpoint)


def with_styles(model: AgingModel, checkpoint: str) -> StyleModel:
    """The model as one whose styles can be had and changed.

    Raises:
        InputError: it has none, or none of that kind.
    """
    if not isinstance(with_codes(model, checkpoint), StyleModel):
        raise InputError(
            f"{checkpoint} is {KINDS[model.kind].title}, whose styles cannot be changed; give the checkpoint "
            "that it was made from"
        )
    return model


def with_codes(model: AgingModel, checkpoint: str) -> LatentModel:
    """The model as one that has W+ codes.

    Raises:
        InputError: it has none.
    """
    if not isinstance(model, LatentModel):
        raise InputError(f"{checkpoint} is a model without styles; use inference.py")
    return model


def replace_drifted_encoder(model: AgingModel, checkpoint: str) -> None:
    """Takes the encoder of the global file where that of a personalised one drifted in training.

    If that file is not at hand, a note says what to do.

    Args:
        model: any, as loaded.
        checkpoint: its file, for messages.

    Raises:
        InputError: the global file does not fit.
    """
    if not isinstance(model, TakesGlobalEncoder) or not model.encoder_has_drifted:
        return
    global_checkpoint = model.global_checkpoint or model_paths["sam_ffhq_aging"]
    if Path(global_checkpoint).is_file():
        print(f"the encoder of {checkpoint} has drifted in training; taking that of {global_checkpoint}")
        model.take_global_encoder(global_checkpoint)
        return
    note(
        f"the encoder of {checkpoint} has drifted in training; for the official pictures give "
        "--global_checkpoint=FILE, the SAM file that it was trained from"
    )
