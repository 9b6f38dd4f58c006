"""The IR-SE networks and the map-to-style encoder against the official layouts and numbers."""

import pytest
import torch

import parity
from models.encoders.helpers import PReLU
from models.encoders.model_irse import Backbone
from models.encoders.psp_encoders import GradualStyleEncoder

TINY = {"channels": (8, 8, 16, 24, 32), "units": (1, 1, 1, 1)}


def is_extra(entry: parity.Entry) -> bool:
    """The official number of styles, or an encoder that the pSp tests run."""
    return entry["args"]["n_styles"] >= 18 or entry["args"]["input_nc"] == 3


@parity.each("encoders", "codes", extra=is_extra)
def test_encoder_gives_the_official_codes(entry: parity.Entry) -> None:
    """In train mode with the statistics of the batch, which move the running ones."""
    args = {key: entry["args"][key] for key in ("num_layers", "mode", "n_styles", "input_nc")}
    encoder = parity.fill(parity.quick(GradualStyleEncoder, **args), entry)
    if entry.get("mode") == "train":
        encoder.train()
    else:
        encoder.eval().to(memory_format=torch.channels_last)
    found = {}
    for output, index in (("c1", 6), ("c2", 20), ("c3", 23)):
        encoder.body[index].register_forward_hook(lambda *call, name=output: found.update({name: call[2]}))
    with torch.no_grad():
        found["codes"] = encoder(parity.inputs(entry)["x"])
    running = {f"after/{name}": value for name, value in encoder.named_buffers()}
    parity.check_all(found | running, entry)


@parity.each("encoders", "embedding")
def test_face_network_gives_the_official_embedding(entry: parity.Entry) -> None:
    network = parity.network(entry, Backbone, **entry["args"])
    with torch.no_grad():
        embedding = network(parity.inputs(entry)["x"])
    parity.check(embedding, entry, "embedding")
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(len(embedding)))


def test_layouts_are_official() -> None:
    with torch.device("meta"):
        parity.check_layout(Backbone(112, 50, "ir_se", drop_ratio=0.6).state_dict(), "model_ir_se50")
        prior = GradualStyleEncoder(50, "ir_se", n_styles=18, input_nc=3).state_dict()
        parity.check_layout(prior, "psp_ffhq_encode", prefix="encoder.")
        parity.check_layout(prior, "sam_ffhq_aging", prefix="pretrained_encoder.")
        ageing = GradualStyleEncoder(50, "ir_se", n_styles=18, input_nc=4).state_dict()
        parity.check_layout(ageing, "sam_ffhq_aging", prefix="encoder.")
        parity.check_layout(ageing, "mytimemachine_personalised", prefix="encoder.")


@pytest.mark.parametrize("size", [32, 64, 128])
def test_small_encoder_takes_other_sizes(size: int) -> None:
    encoder = GradualStyleEncoder(
        n_styles=12, input_nc=4, input_size=size, style_dim=20, style_channels=16, **TINY
    ).eval()
    assert encoder(torch.randn(2, 4, size, size)).shape == (2, 12, 20)


@pytest.mark.parametrize("size", [48, 50, 64])
def test_small_face_network_takes_other_sizes(size: int) -> None:
    network = Backbone(size, embedding_dim=24, mode="ir", **TINY).eval()
    assert network(torch.randn(2, 3, size, size)).shape == (2, 24)
    plain = Backbone(size, embedding_dim=24, normalize=False, **TINY).eval()
    assert not torch.allclose(plain(torch.randn(2, 3, size, size)).norm(dim=1), torch.ones(2))


def test_every_weight_of_a_small_encoder_gets_a_gradient() -> None:
    encoder = GradualStyleEncoder(n_styles=8, input_size=32, style_dim=12, **TINY)
    encoder(torch.randn(2, 3, 32, 32)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_fast_prelu_has_the_derivatives_of_torch() -> None:
    fast, plain = PReLU(5).double(), torch.nn.PReLU(5).double()
    with torch.no_grad():
        plain.weight.copy_(fast.weight.normal_())
    x = torch.randn(2, 5, 4, 3, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn_like(x)
    ours = torch.autograd.grad((fast(x) * upstream).sum(), (x, fast.weight))
    torch.testing.assert_close(ours, torch.autograd.grad((plain(x) * upstream).sum(), (x, plain.weight)))
    assert torch.autograd.gradcheck(fast, (x,)) and torch.autograd.gradgradcheck(fast, (x,))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"input_size": 100}, "power of two"), ({"num_layers": 51}, "num_layers"), ({"mode": "se"}, "mode")],
)
def test_impossible_sizes_are_refused(arguments: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        GradualStyleEncoder(**{"n_styles": 4, "style_dim": 8, "channels": (8, 8, 8, 8, 8), **arguments})
