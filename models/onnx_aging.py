"""Exported models behind the contract of ageing models: ONNX Runtime computes, and no network is built."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from models.aging_model import (
    PIXELS_AT_A_TIME,
    PIXELS_ON_CPU,
    Ages,
    AgingModel,
    HasAdapter,
    KeepsBackground,
    LatentModel,
    age_grid,
)
from models.exported.card import ENCODER, GENERATOR, WHOLE, ExportedModel, files_of
from models.exported.checking import check_files, check_graph, require_parts
from models.exported.session import Session
from utils.errors import InputError
from utils.faces.masks import FaceMasks
from utils.files.exported_folders import GRAPH_SUFFIX, KIND, WEIGHTS, folder_of
from utils.notes import note
from utils.pictures.tensors import resize

Open = Callable[[torch.device], Session]


class GraphModel(AgingModel):
    """What all exported models have: graphs that follow the model to its device.

    Args:
        description: from the card.
        graphs: each opens one graph, by name.
    """

    kind = KIND
    _here: Tensor

    def __init__(self, description: ExportedModel, graphs: Mapping[str, Open]) -> None:
        super().__init__()
        self.input_size, self.output_size = description.input_size, description.output_size
        self.crop, self.fine_tuned = description.crop, description.fine_tuned
        self._graphs = dict(graphs)
        self._sessions: dict[str, Session] = {}
        self.register_buffer("_here", torch.zeros(0), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "GraphModel":
        """Opens the graphs where the model is now, as ``to`` does with weights."""
        before = self._here.device
        super()._apply(fn, recurse)
        if not self._sessions or self._here.device != before:
            self._sessions = {name: opened(self._here.device) for name, opened in self._graphs.items()}
        return self

    def _run(self, name: str, **inputs: Tensor) -> Tensor:
        """What a graph gives for its inputs, on the device of the model."""
        return self._sessions[name](inputs).to(self._here.device)

    def _prepared(self, images: Tensor) -> Tensor:
        return resize(images.to(self._here.device), self.input_size).float()


class WholeGraphModel(GraphModel):
    """An exported model of one graph, which ages some pictures at a time."""

    def age_path(self, images: Tensor, ages: Ages) -> Tensor:
        images = self._prepared(images)
        return self._aged(images, age_grid(ages, images))

    def _aged(self, images: Tensor, grid: Tensor, **more: Tensor) -> Tensor:
        pixels = PIXELS_ON_CPU if images.device.type == "cpu" else PIXELS_AT_A_TIME
        columns = max(1, pixels // (self.output_size**2 * max(1, len(images))))
        parts = [self._run(WHOLE, images=images, ages=part, **more) for part in grid.split(columns, dim=1)]
        return torch.cat(parts, dim=1)


class MaskedGraphModel(WholeGraphModel, KeepsBackground):
    """An exported model of one graph that is told where a face may change."""

    def __init__(self, description: ExportedModel, graphs: Mapping[str, Open]) -> None:
        super().__init__(description, graphs)
        self._masks = FaceMasks(self.crop)

    def face_masks(self, images: Tensor) -> Tensor:
        return self._masks(images, self.output_size)

    def age_path(self, images: Tensor, ages: Ages) -> Tensor:
        images = self._prepared(images)
        return self.age_within(images, ages, self.face_masks(images))

    def age_within(self, images: Tensor, ages: Ages, masks: Tensor | None) -> Tensor:
        images = self._prepared(images)
        if masks is None:
            masks = images.new_ones(len(images), 1, self.output_size, self.output_size)
        return self._aged(images, age_grid(ages, images), masks=masks)


class LatentGraphModel(GraphModel, LatentModel):
    """An exported model of an encoder and a generator; its codes have no derivatives."""

    def codes(self, images: Tensor, ages: Ages) -> Tensor:
        images = self._prepared(images)
        return self._run(ENCODER, images=images, ages=age_grid(ages, images))

    def synthesize(self, codes: Tensor) -> Tensor:
        return self._run(GENERATOR, codes=codes)


class PersonalGraphModel(LatentGraphModel, HasAdapter):
    """An exported model whose encoder contains the adapter of one person."""

    def switch_off_adapter(self) -> None:
        """Cannot be done.

        Raises:
            InputError: always.
        """
        raise InputError(
            "an exported model cannot be without the adapter that it was exported with; give --blender, or "
            "the checkpoint that it was made from"
        )


def load_onnx(content: Mapping[str, Any], source: str, precision: torch.dtype) -> GraphModel:
    """Makes the ageing model of an exported folder; its graphs open when it is moved to a device.

    Raises:
        InputError: a package or a file is missing, or what is there is damaged or is not AgeLab's.
    """
    description, files = ExportedModel.from_card(content, source), files_of(content, source)
    if precision != torch.float32:
        note(f"{source} was exported to compute in {description.precision}; --mixed_precision has no effect")
    make: type[GraphModel] = MaskedGraphModel if description.masked else WholeGraphModel
    if description.n_styles:
        make = PersonalGraphModel if description.adapter else LatentGraphModel
    names = (ENCODER, GENERATOR) if description.n_styles else (WHOLE,)
    folder, graphs = folder_of(source), {name: f"{name}{GRAPH_SUFFIX}" for name in names}
    require_parts(graphs.values(), files, source)
    read = {name: entry for name, entry in files.items() if name in (*graphs.values(), WEIGHTS)}
    check_files(folder, read)
    signatures = description.signatures()

    def opener(name: str) -> Open:
        check_graph(folder / graphs[name], read)
        return lambda device: Session(folder / graphs[name], signatures[name], device)

    return make(description, {name: opener(name) for name in names})
