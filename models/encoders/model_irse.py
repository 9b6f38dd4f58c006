"""IR-SE face recognition network of ArcFace (Deng et al. 2019), official keys (``model_ir_se50.pth``)."""

from collections.abc import Sequence

from torch import Tensor, nn

from models.encoders.helpers import (
    OFFICIAL_CHANNELS,
    BatchNorm2d,
    InputLayer,
    body,
    count_batches,
    l2_norm,
    units_per_stage,
)


class Backbone(nn.Module):
    """Maps (B, input_nc, input_size, input_size) images to (B, embedding_dim) vectors of unit length.

    Args:
        input_size: side of the input in pixels; 112 officially.
        num_layers: depth by the published table (50, 100, 152; also 18 and 34).
        mode: ``ir_se``, or ``ir`` without squeeze-and-excitation.
        drop_ratio: dropout before the last linear layer.
        affine: whether the last norm has scale and shift.
        channels: width of the stem and of the four stages.
        units: residual units in each stage, overriding ``num_layers``.
        embedding_dim: length of the embedding, or the number of classes of a classifier.
        input_nc: image channels.
        normalize: return unit vectors (official); without it the plain output of the last layer.
    """

    def __init__(
        self,
        input_size: int = 112,
        num_layers: int = 50,
        mode: str = "ir_se",
        drop_ratio: float = 0.4,
        affine: bool = True,
        channels: Sequence[int] = OFFICIAL_CHANNELS,
        units: Sequence[int] | None = None,
        embedding_dim: int = 512,
        input_nc: int = 3,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.normalize = normalize
        self.input_layer = InputLayer(input_nc, channels[0])
        self.body = body(channels, units_per_stage(num_layers, units), mode)
        side = -(-input_size // 16)  # four halvings, each rounding up
        self.output_layer = nn.Sequential(
            BatchNorm2d(channels[-1]),
            nn.Dropout(drop_ratio),
            nn.Flatten(),
            nn.Linear(channels[-1] * side * side, embedding_dim),
            nn.BatchNorm1d(embedding_dim, affine=affine),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            count_batches(self)
        x = self.output_layer(self.body(self.input_layer(x)))
        return l2_norm(x) if self.normalize else x
