"""Whether a network is being exported: written down as a graph that other programs run."""

import torch


def can_export() -> bool:
    """Whether this PyTorch tells when it exports; it does from 2.7 on."""
    return hasattr(torch.compiler, "is_exporting")


def exporting() -> bool:
    """Whether ``torch.export`` goes through a network now."""
    return can_export() and torch.compiler.is_exporting()
