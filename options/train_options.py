"""The command line of `scripts/train.py`: which coach, and the options of that coach."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, make_dataclass

from options.base_options import TrainOptions
from options.nvidia_flags import with_nvidia_names
from options.parser import Parser, build_parser, filled, words
from options.presets import with_presets
from utils.lazy import implementation


@dataclass(frozen=True)
class CoachEntry:
    """One thing that can be trained.

    Attributes:
        coach: ``module:class`` of the coach.
        options: ``module:class`` of its options.
        summary: what it trains, for the help.
        use: a script with arguments that uses its ``{weights}``, for a report; capitals stand for yours.
    """

    coach: str
    options: str
    summary: str
    use: str = ""


_AGES = "inference.py --align --data_path=PHOTOS --exp_dir=RESULTS --checkpoint_path={weights}"


# A new coach is one line here; its modules are imported only when it is chosen.
COACHES = {
    "stylegan2": CoachEntry(
        "training.coach_stylegan2:CoachStyleGAN2",
        "options.stylegan2_options:StyleGAN2Options",
        "generator and discriminator (docs/conditional_training.md: NVIDIA's flags, too)",
        "evaluate_generator.py --data_path=FACES --exp_dir=RESULTS --checkpoint_path={weights}",
    ),
    "age_classifier": CoachEntry(
        "training.coach_age_classifier:CoachAgeClassifier",
        "options.age_classifier_options:AgeClassifierOptions",
        "DEX age classifier, also as a judge",
        "evaluate.py --data_path=FACES --exp_dir=RESULTS --age_classifier={weights}",
    ),
    "identity": CoachEntry(
        "training.coach_identity:CoachIdentity",
        "options.identity_options:IdentityOptions",
        "identity network, also as a judge",
        "train.py --coach=psp --exp_dir=RUN --train_dataset=FACES --identity_network={weights}",
    ),
    "latent_encoder": CoachEntry(
        "training.coach_latent_encoder:CoachLatentEncoder",
        "options.latent_encoder_options:LatentEncoderOptions",
        "encoder of a conditional generator, for directed generation",
        _AGES,
    ),
    "reaging_gan": CoachEntry(
        "training.coach_reaging_gan:CoachReAgingGAN",
        "options.reaging_gan_options:ReAgingOptions",
        "Re-Aging GAN, from labelled faces alone",
        _AGES,
    ),
    "psp": CoachEntry(
        "training.coach_psp:CoachPSP",
        "options.psp_options:PSPOptions",
        "pSp inversion encoder",
        "train.py --coach=sam --exp_dir=RUN --train_dataset=FACES --pretrained_psp_path={weights}",
    ),
    "sam": CoachEntry(
        "training.coach_aging:CoachAging", "options.sam_options:SAMOptions", "SAM ageing encoder", _AGES
    ),
    "mytimemachine": CoachEntry(
        "training.coach_personalized:CoachPersonalized",
        "options.mytimemachine_options:MyTimeMachineOptions",
        "SAM personalised to one person",
        _AGES,
    ),
}


def choose_coach(arguments: Sequence[str]) -> str:
    """Returns `--coach`; without it MyTimeMachine if `--adaptive_w_norm_lambda` is given, else SAM."""
    parser = Parser(add_help=False)
    parser.add_argument("--coach", choices=sorted(COACHES))
    parser.add_argument("--adaptive_w_norm_lambda")
    known, _ = parser.parse_known_args(with_presets(arguments))
    return known.coach or ("mytimemachine" if known.adaptive_w_norm_lambda is not None else "sam")


def options_class(coach: str) -> type[TrainOptions]:
    """The options of one coach, with those of every group of terms in its objective."""
    own: type[TrainOptions] = implementation(COACHES[coach].options)
    further = [group.options for group in own.objective if not issubclass(own, group.options)]
    if not further:
        return own
    return make_dataclass(own.__name__, [], bases=(own, *further), frozen=True, kw_only=True)


def build_train_parser(coach: str) -> Parser:
    """Returns the parser of one coach."""
    kinds = "; ".join(f"{name}: {entry.summary}" for name, entry in COACHES.items())
    description = f"Trains a network. --coach is one of {kinds}. Showing the options of --coach={coach}."
    parser = build_parser(options_class(coach), description)
    parser.set_defaults(coach=coach)
    return parser


def parse_train_options(arguments: Sequence[str] | None = None) -> TrainOptions:
    """Parses a training command line (`@preset.args` files included; later flags win) and checks it.

    Raises:
        InputError: a flag is unknown or its value cannot be used, or two contradict each other.
    """
    given = tuple(sys.argv[1:] if arguments is None else arguments)
    command = with_nvidia_names(words(with_presets(given)))
    coach = choose_coach(command)
    return filled(options_class(coach), build_train_parser(coach).parse_args(command), arguments=given)
