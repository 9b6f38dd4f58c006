"""Inception-ResNet v1 face network (Szegedy et al. 2017, used by FaceNet) with facenet-pytorch's keys."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.encoders.helpers import l2_norm

Kernel = int | tuple[int, int]
Branch = Sequence[tuple[int, Kernel]]
EPSILON = 1e-3  # of every batch norm, as in the TensorFlow original


class BasicConv2d(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, pad: bool = False) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, sides, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def chain(inputs: int, *layers: tuple[int, Kernel]) -> nn.Module:
    """Convolutions (outputs, kernel) that keep the size; a single one stands alone, as the keys want it."""
    modules = []
    for outputs, kernel in layers:
        modules.append(BasicConv2d(inputs, outputs, kernel, pad=True))
        inputs = outputs
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)


def reducing(inputs: int, *layers: tuple[int, Kernel]) -> nn.Module:
    """The same, but the last convolution is unpadded and has stride 2."""
    *first, (outputs, kernel) = layers
    modules = []
    for width, side in first:
        modules.append(BasicConv2d(inputs, width, side, pad=True))
        inputs = width
    modules.append(BasicConv2d(inputs, outputs, kernel, stride=2))
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)


class Branches(nn.Module):
    """``branch0``, ``branch1`` ... side by side on the same input."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.count = len(branches)
        for index, branch in enumerate(branches):
            self.add_module(f"branch{index}", branch)

    def outputs(self, x: Tensor) -> list[Tensor]:
        return [self.get_submodule(f"branch{index}")(x) for index in range(self.count)]


class ResidualBlock(Branches):
    """Branches, joined by a 1x1 convolution with bias, scaled, added to the input."""

    def __init__(self, channels: int, scale: float, *branches: Branch, relu: bool = True) -> None:
        super().__init__(*(chain(channels, *branch) for branch in branches))
        self.scale = scale
        self.relu = relu
        self.conv2d = nn.Conv2d(sum(branch[-1][0] for branch in branches), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.scale * self.conv2d(torch.cat(self.outputs(x), dim=1))
        return F.relu(x, inplace=True) if self.relu else x


class ReductionBlock(Branches):
    """Branches that halve the size, beside max pooling."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([*self.outputs(x), F.max_pool2d(x, 3, stride=2)], dim=1)


def narrowed(channels: int, width: float) -> int:
    """A number of channels times ``width``, as a multiple of 8."""
    return channels if width == 1 else max(8, 8 * round(channels * width / 8))


class InceptionResnetV1(nn.Module):
    """Maps (B, 3, S, S) faces in [-1, 1] to (B, 512) embeddings of unit length, or to class logits.

    Args:
        num_classes: people of the classifier head ``logits`` (8631 in the VGGFace2 file, 10575 in the
            CASIA-WebFace one); None leaves the head out.
        classify: return the (B, num_classes) logits instead of the embedding.
        input_size: side of the faces that it was trained on; others of at least 75 pixels work.
        dropout: rate before the embedding while training.
        embedding: whether it has the layers behind :meth:`pooled`.
        width: channels of every layer in units of the published ones.
        repeats: residual blocks of each of the three stages.

    Attributes:
        pooled_channels: numbers that :meth:`pooled` gives, 1792 for the published width.

    Raises:
        ValueError: ``classify`` without ``num_classes``.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        classify: bool = False,
        input_size: int = 160,
        dropout: float = 0.6,
        embedding: bool = True,
        width: float = 1.0,
        repeats: Sequence[int] = (5, 10, 5),
    ) -> None:
        super().__init__()
        if classify and num_classes is None:
            raise ValueError("classify needs num_classes")
        self.input_size = input_size
        self.classify = classify
        self._stem(width)
        self._stages(width, repeats)
        self.dropout = nn.Dropout(dropout)
        self.last_linear = nn.Linear(self.pooled_channels, 512, bias=False) if embedding else None
        self.last_bn = nn.BatchNorm1d(512, eps=EPSILON) if embedding else None
        self.logits = nn.Linear(512, num_classes) if num_classes is not None else None

    def _stem(self, width: float) -> None:
        n32, n64, n80, n192, n256 = (narrowed(channels, width) for channels in (32, 64, 80, 192, 256))
        self.conv2d_1a = BasicConv2d(3, n32, 3, stride=2)
        self.conv2d_2a = BasicConv2d(n32, n32, 3)
        self.conv2d_2b = BasicConv2d(n32, n64, 3, pad=True)
        self.conv2d_3b = BasicConv2d(n64, n80, 1)
        self.conv2d_4a = BasicConv2d(n80, n192, 3)
        self.conv2d_4b = BasicConv2d(n192, n256, 3, stride=2)

    def _stages(self, width: float, repeats: Sequence[int]) -> None:
        first, second, third = repeats
        n32, n128, n192 = (narrowed(channels, width) for channels in (32, 128, 192))
        n256, n384 = narrowed(256, width), narrowed(384, width)
        n896 = n384 + n256 + n256
        n1792 = n384 + n256 + n256 + n896
        thin: Sequence[Branch] = ([(n32, 1)], [(n32, 1), (n32, 3)], [(n32, 1), (n32, 3), (n32, 3)])
        long: Sequence[Branch] = ([(n128, 1)], [(n128, 1), (n128, (1, 7)), (n128, (7, 1))])
        short: Sequence[Branch] = ([(n192, 1)], [(n192, 1), (n192, (1, 3)), (n192, (3, 1))])
        self.repeat_1 = nn.Sequential(*(ResidualBlock(n256, 0.17, *thin) for _ in range(first)))
        self.mixed_6a = ReductionBlock(
            reducing(n256, (n384, 3)), reducing(n256, (n192, 1), (n192, 3), (n256, 3))
        )
        self.repeat_2 = nn.Sequential(*(ResidualBlock(n896, 0.10, *long) for _ in range(second)))
        self.mixed_7a = ReductionBlock(
            reducing(n896, (n256, 1), (n384, 3)),
            reducing(n896, (n256, 1), (n256, 3)),
            reducing(n896, (n256, 1), (n256, 3), (n256, 3)),
        )
        self.repeat_3 = nn.Sequential(*(ResidualBlock(n1792, 0.20, *short) for _ in range(third)))
        self.block8 = ResidualBlock(n1792, 1.0, *short, relu=False)
        self.pooled_channels = n1792

    def features(self, x: Tensor) -> Tensor:
        """The (B, 1792, h, w) feature map before pooling."""
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x)))
        x = self.conv2d_3b(F.max_pool2d(x, 3, stride=2))
        x = self.repeat_1(self.conv2d_4b(self.conv2d_4a(x)))
        x = self.repeat_2(self.mixed_6a(x))
        return self.block8(self.repeat_3(self.mixed_7a(x)))

    def pooled(self, x: Tensor) -> Tensor:
        """The (B, pooled_channels) mean of the feature map, after dropout."""
        return self.dropout(self.features(x).mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        """The embedding, or the logits.

        Raises:
            ValueError: it was made without these layers.
        """
        if self.last_linear is None or self.last_bn is None:
            raise ValueError("this network has no embedding; use pooled()")
        x = self.last_bn(self.last_linear(self.pooled(x)))
        if self.logits is not None and self.classify:
            return self.logits(x)
        return l2_norm(x)
