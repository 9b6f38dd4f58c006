"""The seam of all losses: an objective is a table of named terms.

Each has a weight, a condition and a function of the pass. A new term is a function in a file of its own, with
the options that weigh it, and one line in the table of each objective that shall have it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from criteria.age_sampling import AgeRange, Mode
from criteria.aging_loss import AgingLoss
from criteria.frozen import full_precision
from criteria.id_loss import IDLoss
from criteria.nearest_neighbor_id_loss import ReferenceBank
from criteria.perceptual_loss import PerceptualLoss
from utils.faces.boxes import FACE_CROP, FractionalCrop
from utils.typed_options import Options

PassName = Literal["real", "cycle", "own", ""]
LAYERED = ("perceptual", "perceptual_crop", "style")  # targets that are a list of layers


class Opponent(Protocol):
    """What the adversarial term needs of a discriminator, see ``training.adversary.Adversary``."""

    def fool(self, images: Tensor, conditions: Tensor | None = None) -> Tensor:
        """The loss that makes pictures (B, 3, R, R) believable, at their ages (B,) in years or the like."""


class Style(Protocol):
    """What the style term needs, see ``criteria.style_loss.StyleLoss``."""

    def features(self, images: Tensor) -> list[Tensor]:
        """Gram matrices (B, C, C) of images (B, 3, S, S), one a layer."""

    def __call__(self, generated: Tensor, target_features: Sequence[Tensor]) -> Tensor:
        """The mean distance of images (B, 3, S, S) from such matrices."""


@dataclass
class Measures:
    """What the terms measure with; None where no term needs it.

    Attributes:
        identity: identity loss.
        perceptual: perceptual loss.
        aging: ageing loss.
        style: style loss.
        code_spread: distance of W+ codes (B, n_styles, D) from those of photos, (B,).
        opponent: discriminator of the generated pictures.
        references: embeddings of one person's photos.
        age_range: youngest and oldest age of these photos, years.
        crop: inner part of the face that is compared a second time.
    """

    identity: IDLoss | None = None
    perceptual: PerceptualLoss | None = None
    aging: AgingLoss | None = None
    style: Style | None = None
    code_spread: Callable[[Tensor], Tensor] | None = None
    opponent: Opponent | None = None
    references: ReferenceBank | None = None
    age_range: AgeRange | None = None
    crop: FractionalCrop = FACE_CROP


@dataclass(frozen=True)
class Targets:
    """Everything the terms need to know about target images; nothing in it carries a gradient.

    It depends on the images only, so both passes of a step share it, and a coach may keep it for longer.
    """

    images: Tensor  # (B, 3, S, S)
    identity: Tensor | None = None  # (B, D)
    perceptual: Sequence[Tensor] | None = None
    perceptual_crop: Sequence[Tensor] | None = None
    style: Sequence[Tensor] | None = None
    ages: Tensor | None = None  # years (B,) that the classifier sees

    def named(self) -> dict[str, Tensor]:
        """All but the images under names, to be kept."""
        found: dict[str, Tensor] = {}
        for entry in LAYERED:
            found |= {f"{entry}.{layer}": value for layer, value in enumerate(getattr(self, entry) or ())}
        single = {"identity": self.identity, "ages": self.ages}
        return {**found, **{entry: value for entry, value in single.items() if value is not None}}

    @classmethod
    def from_named(cls, images: Tensor, named: Mapping[str, Tensor]) -> "Targets":
        """The opposite of :meth:`named`; other names are left out."""
        layers = {
            entry: [value for name, value in named.items() if name.startswith(f"{entry}.")] or None
            for entry in LAYERED
        }
        return cls(images, identity=named.get("identity"), ages=named.get("ages"), **layers)


@dataclass
class Losses:
    """Result of one pass: the total to differentiate, and detached tensors to log."""

    total: Tensor
    scalars: dict[str, Tensor] = field(default_factory=dict)
    per_image: dict[str, Tensor] = field(default_factory=dict)

    def log(self, name: str, value: Tensor) -> None:
        """Keeps a scalar for the log."""
        self.scalars[name] = value.detach()

    def log_images(self, name: str, values: Tensor) -> None:
        """Keeps one number for each image (B,), for captions."""
        self.per_image[name] = values.detach()


@dataclass
class Pass:
    """One generated batch, what it is compared with, and what was asked for.

    Attributes:
        generated: images (B, 3, S, S) at the size of the targets.
        targets: of the photos, in the cycle pass too.
        codes: W+ codes (B, n_styles, D) behind the images.
        average_code: code that the encoder starts from (n_styles, D), or None.
        target_ages: years (B,) asked for in this pass; the input ages in the cycle pass. None without ages.
        input_ages: years (B,) of the photos.
        mode: of the batch, the same in both passes.
        name: ``real``; ``cycle``; ``own``, to the age that the face has; or nothing where there is one pass
            only. Ends the names in the log.
        compared: what the images shall look like, where that is not the photos.
        pictures: the images (B, 3, R, R) at the size of the generator.
        trained: whether the networks learn from this pass (not in validation).
        classes: shares of the classes (B, n) that the pictures are meant to show; None without classes.
        share: of the pass in the pictures of its step, which has several such parts; for sums over a batch.
    """

    generated: Tensor
    targets: Targets
    codes: Tensor
    average_code: Tensor | None = None
    target_ages: Tensor | None = None
    input_ages: Tensor | None = None
    mode: Mode = "no_aging"
    name: PassName = ""
    compared: Targets | None = None
    pictures: Tensor | None = None
    trained: bool = True
    classes: Tensor | None = None
    share: float = 1.0

    def __post_init__(self) -> None:
        """Losses are computed in float32 or wider.

        Raises ``ValueError`` for extrapolation without the pictures that it compares with.
        """
        if self.mode == "extrapolation" and self.compared is None:
            raise ValueError("extrapolation compares with the pictures of the global network; none are given")
        self.generated, self.codes = full_precision(self.generated), full_precision(self.codes)
        self.losses = Losses(total=self.generated.new_zeros(()))
        self._embedding: Tensor | None = None

    @property
    def looks_like(self) -> Targets:
        """What the images shall look like."""
        return self.targets if self.compared is None else self.compared

    @property
    def suffix(self) -> str:
        """End of the names in the log."""
        return f"_{self.name}" if self.name else ""

    def embedding(self, identity: IDLoss) -> Tensor:
        """Unit embeddings (B, D) of the generated images with their graph, computed once for all terms."""
        if self._embedding is None:
            self._embedding = identity.features(self.generated)
        return self._embedding

    def years(self) -> tuple[Tensor, Tensor]:
        """Target and input ages (B,) of a pass that has them."""
        assert self.target_ages is not None and self.input_ages is not None
        return self.target_ages, self.input_ages


Compute = Callable[[Measures, Pass], Tensor]


def always(this: Pass) -> bool:
    """The condition of a term that every pass has."""
    return True


@dataclass(frozen=True)
class Term:
    """One row of an objective: ``weight * compute(measures, pass)`` where ``when(pass)``.

    Attributes:
        name: in the log, where the name of the pass is appended.
        weight: 0 leaves the term out.
        compute: scalar loss of a pass; it may log more.
        when: which passes have it.
        needs: fields of :class:`Measures` without which it cannot be computed.
        compares: fields of :class:`Targets` that it reads.
        suffixed: whether the official log appends the name of the pass; where it does not, the cycle pass
            overwrites the real one there.
    """

    name: str
    weight: float
    compute: Compute
    when: Callable[[Pass], bool] = always
    needs: Sequence[str] = ()
    compares: Sequence[str] = ()
    suffixed: bool = True


@dataclass(frozen=True)
class TermGroup:
    """Terms that come together, with the options that weigh them.

    Attributes:
        options: group of options; every command whose objective has these terms has its flags.
        terms: makes the rows from these options.
    """

    options: type[Options]
    terms: Callable[[Any], Sequence[Term]]


def weighted_terms(groups: Iterable[TermGroup], options: Options) -> list[Term]:
    """The rows of some groups that have a weight, in their order.

    Args:
        groups: the objective.
        options: values of all their options.
    """
    return [term for group in groups for term in group.terms(options) if term.weight > 0]


def needs_of(terms: Iterable[Term]) -> set[str]:
    """The fields of :class:`Measures` that some terms need."""
    return {need for term in terms for need in term.needs}


class Objective:
    """Computes a table of terms.

    Args:
        terms: the rows.
        measures: what they measure with.
        distinct_log_names: every name ends with that of its pass; officially some do not.

    Raises:
        ValueError: a term needs something that is not there.
    """

    def __init__(self, terms: Sequence[Term], measures: Measures, distinct_log_names: bool = True) -> None:
        for term in terms:
            for need in term.needs:
                if getattr(measures, need) is None:
                    raise ValueError(f"{term.name} has a weight of {term.weight:g} but no {need}")
        self.terms = list(terms)
        self.measures = measures
        self.distinct_log_names = distinct_log_names
        self._compares = {name for term in terms for name in term.compares}

    def __call__(self, this: Pass) -> Losses:
        """Weighted sum of the terms that the pass has, and each of them for the log."""
        losses = this.losses
        for term in self.terms:
            if not term.when(this):
                continue
            value = term.compute(self.measures, this)
            suffix = this.suffix if term.suffixed or self.distinct_log_names else ""
            losses.log(term.name + suffix, value)
            losses.total = losses.total + term.weight * value
        losses.log(f"loss{this.suffix}", losses.total)
        return losses

    @torch.no_grad()
    def targets_of(self, images: Tensor, leave_out: Collection[str] = ()) -> Targets:
        """Computes once what the terms need of target images (B, 3, S, S).

        Args:
            images: the targets.
            leave_out: fields of :class:`Targets` that are not wanted, or known already.
        """
        measures, wanted = self.measures, self._compares - set(leave_out)
        known: dict[str, Any] = {}
        if "perceptual" in wanted and measures.perceptual is not None:
            known["perceptual"] = measures.perceptual.features(images)
        if "perceptual_crop" in wanted and measures.perceptual is not None:
            known["perceptual_crop"] = measures.perceptual.features(measures.crop(images))
        if "style" in wanted and measures.style is not None:
            known["style"] = measures.style.features(images)
        if "identity" in wanted and measures.identity is not None:
            known["identity"] = measures.identity.features(images)
        if "ages" in wanted and measures.aging is not None:
            known["ages"] = measures.aging.extract_ages(images)
        return Targets(images=images, **known)
