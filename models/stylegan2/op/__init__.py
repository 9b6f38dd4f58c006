"""Operators of StyleGAN2: one public function each, in plain PyTorch or compiled for CUDA (`choose_ops`)."""

from models.stylegan2.op.compiled import choose_ops, compiled_operators
from models.stylegan2.op.fused_act import FusedLeakyReLU, fused_leaky_relu
from models.stylegan2.op.modulation import scale_channels
from models.stylegan2.op.upfirdn2d import upfirdn2d

__all__ = [
    "FusedLeakyReLU",
    "choose_ops",
    "compiled_operators",
    "fused_leaky_relu",
    "scale_channels",
    "upfirdn2d",
]
