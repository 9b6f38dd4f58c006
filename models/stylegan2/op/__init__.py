"""Operators of StyleGAN2: each has one public function, so that a compiled version can be chosen behind
it.
"""

from models.stylegan2.op.fused_act import FusedLeakyReLU, fused_leaky_relu
from models.stylegan2.op.upfirdn2d import upfirdn2d

__all__ = ["FusedLeakyReLU", "fused_leaky_relu", "upfirdn2d"]
