"""The trainings behind the bundled networks, in their order: preset, result, and what each starts from."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stage:
    """One training.

    Attributes:
        preset: its options, a file of `configs/demo` without its suffix.
        file: the bundled file it makes; None for a stage on the way to another.
        runs: stages whose newest weights it starts from, by flag.
        files: bundled files that it needs, by flag.
        noise: factor on the strengths of the generator's noise in the weights that it goes on from.
        shapes_noise: whether the noise of the result gets the spectrum of the training faces.
    """

    preset: str
    file: str | None = None
    runs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    noise: float = 1.0
    shapes_noise: bool = False


_LOSS_NETWORKS = {"--age_classifier": "age_classifier.pt", "--identity_network": "identity.pt"}

STAGES: dict[str, Stage] = {
    "age_classifier": Stage("age_classifier", "age_classifier.pt"),
    "judge_age": Stage("judge_age", "judge_age.pt"),
    "identity": Stage("identity", "identity.pt"),
    "judge_identity": Stage("judge_identity", "judge_identity.pt"),
    "stylegan2_64": Stage("stylegan2_64"),
    "psp_64": Stage("psp_64", runs={"--stylegan_weights": "stylegan2_64"}, files=_LOSS_NETWORKS),
    "psp": Stage("psp_128", "stylegan2.pt", runs={"--grow_from": "psp_64"}, files=_LOSS_NETWORKS),
    "sam_start": Stage(
        "sam",
        runs={"--pretrained_psp_path": "psp"},
        files=_LOSS_NETWORKS | {"--stylegan_weights": "stylegan2.pt"},
    ),
    "robust_age_classifier": Stage("robust_age_classifier"),
    "robust_identity": Stage("robust_identity", files={"--teacher_network": "identity.pt"}),
    "sam": Stage(
        "sam_believable",
        "sam.pt",
        runs={
            "--checkpoint_path": "sam_start",
            "--further_age_classifiers": "robust_age_classifier",
            "--further_identity_networks": "robust_identity",
        },
        files=_LOSS_NETWORKS,
        noise=0.4,
        shapes_noise=True,
    ),
    "conditional": Stage(
        "conditional",
        files={"--age_classifier": "age_classifier.pt", "--checkpoint_path": "stylegan2.pt"},
    ),
    "latent_encoder": Stage(
        "latent_encoder", "directed.pt", {"--stylegan_weights": "conditional"}, _LOSS_NETWORKS
    ),
    "reaging_gan": Stage("reaging_gan"),
    "reaging_gan_likeness": Stage(
        "reaging_gan_likeness", "reaging_gan.pt", {"--checkpoint_path": "reaging_gan"}, _LOSS_NETWORKS
    ),
}
