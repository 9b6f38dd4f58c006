"""StyleGAN2 generator and discriminator: official layouts, numbers and gradients; growing; precision."""

from typing import Any

import pytest
import torch
from stylegan2_cases import discriminator, generator, generator_sizes

import parity
from criteria import gan_losses
from models.stylegan2.growing import grow
from models.stylegan2.layers import _pointwise
from models.stylegan2.model import Discriminator, Generator, StyleGAN2Config
from models.stylegan2.resampling import Upsample
from utils.errors import InputError

CHANNELS = {4: 16, 8: 16, 16: 12, 32: 8, 64: 8}


def tiny(kind: type[Generator] | type[Discriminator], size: int) -> Any:
    """A small network, with noise switched on where there is any."""
    config = StyleGAN2Config(size=size, style_dim=24, n_mlp=2, channels=CHANNELS)
    network = kind.from_config(config).eval()
    for name, parameter in network.named_parameters():
        if name.endswith("noise.weight"):
            torch.nn.init.constant_(parameter, 0.3)
    return network


# ---------------------------------------------------------------- layouts


@pytest.mark.parametrize("size", [64, 256])
def test_layout_is_official(size: int) -> None:
    with torch.device("meta"):
        generator, discriminator = Generator(size, 512, 8), Discriminator(size)
    parity.check_layout(generator.state_dict(), "stylegan2_generator_sizes", f"generator_{size}")
    parity.check_layout(discriminator.state_dict(), "stylegan2_discriminator_sizes", f"discriminator_{size}")


def test_layout_of_the_official_file() -> None:
    with torch.device("meta"):
        config = StyleGAN2Config()
        generator, discriminator = Generator.from_config(config), Discriminator.from_config(config)
    parity.check_layout(generator.state_dict(), "stylegan2-ffhq-config-f", "g_ema")
    parity.check_layout(discriminator.state_dict(), "stylegan2-ffhq-config-f", "d")
    assert generator.n_latent == config.n_styles == 18


def test_config_survives_a_file() -> None:
    config = StyleGAN2Config(size=16, style_dim=8, n_mlp=2, channels={4: 8, 8: 8, 16: 4})
    assert StyleGAN2Config.from_dict(config.to_dict()) == config
    assert StyleGAN2Config.from_dict(StyleGAN2Config().to_dict()) == StyleGAN2Config()


# ---------------------------------------------------------------- official numbers


@parity.each("stylegan2_generator", "image")
def test_generator_is_official(entry: parity.Entry) -> None:
    args, inputs = entry["args"], parity.inputs(entry)
    noise = {int(name.split("_")[1]): plane for name, plane in inputs.items() if name.startswith("noise_")}
    styles = [inputs[name] for name in inputs if not name.startswith(("noise_", "truncation"))]
    with torch.no_grad():
        image, latents = generator(entry)(
            styles,
            return_latents=True,
            inject_index=args.get("inject_index"),
            truncation=args.get("truncation", 1.0),
            truncation_latent=inputs.get("truncation_latent"),
            input_is_latent=args.get("input_is_latent", False),
            noise=[noise[layer] for layer in sorted(noise)] or None,
            randomize_noise=False,
        )
    parity.check_all({"image": image, "latents": latents}, entry)


@parity.each("stylegan2_generator", "mean", "z")
def test_mean_of_given_latents_is_official(entry: parity.Entry) -> None:
    with torch.no_grad():
        w = generator(entry).get_latent(parity.inputs(entry)["z"])
    parity.check(w.mean(0, keepdim=True), entry, "mean")


@parity.each("stylegan2_generator", "mean", "torch_manual_seed")
def test_mean_of_drawn_latents_is_official(entry: parity.Entry) -> None:
    """The seed was set before the network was built, so both constructors must draw as many numbers."""
    torch.manual_seed(entry["args"]["torch_manual_seed"])
    network = parity.fill(Generator(**generator_sizes(entry)), entry)
    with torch.no_grad():
        w = network.get_latent(torch.randn(entry["args"]["n_latent"], network.style_dim))
    parity.check(w.mean(0, keepdim=True), entry, "mean")


@parity.each("stylegan2_discriminator", "real_logits", extra=lambda entry: parity.pixels(entry) > 64)
def test_discriminator_is_official(entry: parity.Entry) -> None:
    network = discriminator(entry)
    with torch.no_grad():
        logits = {f"{name}_logits": network(images) for name, images in parity.inputs(entry).items()}
    parity.check_all(logits, entry)


# ---------------------------------------------------------------- gradients, in float64


def gradients(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The gradients of the weights under their golden names."""
    weights = network.named_parameters()
    return {f"grad/{name}": weight.grad for name, weight in weights if weight.grad is not None}


@parity.each("stylegan2_gradients", "wplus", "outputs_f64")
def test_generator_gradients_are_official(entry: parity.Entry) -> None:
    network, inputs = generator(entry, torch.float64), parity.inputs(entry, torch.float64)
    wplus = inputs["wplus"].requires_grad_()
    loss = (network([wplus], input_is_latent=True, randomize_noise=False)[0] * inputs["r"]).sum()
    loss.backward()
    results = {"loss": loss, "grad/wplus": wplus.grad}
    parity.check_all(results | gradients(network), entry, float64=True)


@pytest.mark.slow  # in float32 among the tests of the losses
@parity.each("stylegan2_gradients", "path_penalty", "outputs_f64")
def test_path_length_gradients_are_official(entry: parity.Entry) -> None:
    network, inputs = generator(entry, torch.float64), parity.inputs(entry, torch.float64)
    penalty = gan_losses.PathLengthPenalty(entry["args"]["decay"]).double()
    penalty.mean_path_length.fill_(entry["args"]["mean_path_length"])
    images, latents = network([inputs["z"]], return_latents=True, randomize_noise=False)
    loss, lengths = penalty(images, latents, inputs["r"])
    loss.backward()
    results = {"path_penalty": loss, "path_mean": penalty.mean_path_length, "path_lengths": lengths}
    parity.check_all(results | gradients(network), entry, float64=True)


def is_long(entry: parity.Entry) -> bool:
    return len(parity.inputs(entry)["real"]) > 1


@parity.each("stylegan2_gradients", "real", "r1", "outputs_f64", extra=is_long)
def test_r1_gradients_are_official(entry: parity.Entry) -> None:
    network = discriminator(entry, torch.float64)
    real = parity.inputs(entry, torch.float64)["real"].requires_grad_()
    logits = network(real)
    penalty = gan_losses.r1_penalty(logits, real)
    penalty.backward()
    parity.check_all({"logits": logits, "r1": penalty} | gradients(network), entry, float64=True)


# ---------------------------------------------------------------- behaviour


def test_grouped_generator_renders_the_same_pictures() -> None:
    generator, z = tiny(Generator, 32).double(), torch.randn(3, 24, dtype=torch.float64)
    shared, _ = generator([z], randomize_noise=False)
    generator.use_grouped_convolution(True)
    grouped, _ = generator([z], randomize_noise=False)
    torch.testing.assert_close(grouped, shared)


def test_memory_format_changes_nothing() -> None:
    generator, discriminator = tiny(Generator, 32).double(), tiny(Discriminator, 32).double()
    z = torch.randn(2, 24, dtype=torch.float64)
    image, _ = generator([z], randomize_noise=False)
    logits = discriminator(image)
    for network in (generator, discriminator):
        network.memory_format = torch.contiguous_format
    other, _ = generator([z], randomize_noise=False)
    torch.testing.assert_close(other, image)
    torch.testing.assert_close(discriminator(other), logits)


@torch.no_grad()
def test_noise_is_fresh_fixed_or_given() -> None:
    generator, z = tiny(Generator, 16), torch.randn(2, 24)
    fixed, none = generator([z], randomize_noise=False)
    assert none is None
    torch.testing.assert_close(generator([z], randomize_noise=False)[0], fixed)
    assert not torch.allclose(generator([z])[0], generator([z])[0])
    torch.testing.assert_close(generator([z], noise=generator.noise_buffers())[0], fixed)
    assert [plane.shape for plane in generator.noise_buffers()] == [
        (1, 1, side, side) for side in (4, 8, 8, 16, 16)
    ]
    made = [torch.randn_like(plane) for plane in generator.noise_buffers()]
    assert not torch.allclose(generator([z], noise=made)[0], fixed)


@torch.no_grad()
def test_styles_mix_at_the_given_layer() -> None:
    generator = tiny(Generator, 16)
    first, second = torch.randn(2, 2, 24)
    _, latents = generator([first, second], inject_index=2, return_latents=True)
    assert latents.shape == (2, 6, 24)
    torch.testing.assert_close(latents[:, :2], generator.get_latent(first)[:, None].expand(-1, 2, -1))
    torch.testing.assert_close(latents[:, 2:], generator.get_latent(second)[:, None].expand(-1, 4, -1))
    mixed = generator([first, second], inject_index=torch.tensor([2, 5]), return_latents=True)[1]
    torch.testing.assert_close(mixed[0], latents[0])
    assert [int((code == code[0]).all(1).sum()) for code in mixed] == [2, 5]
    drawn = {
        int((generator([first, second], return_latents=True)[1][0] == latents[0, 0]).all(1).sum())
        for _ in range(60)
    }
    assert drawn == {1, 2, 3, 4, 5}


@torch.no_grad()
def test_truncation_moves_codes_towards_the_mean() -> None:
    generator, z = tiny(Generator, 16), torch.randn(2, 24)
    mean = generator.average_latent(64)
    assert mean.shape == (24,)
    options = {"truncation_latent": mean, "return_latents": True, "randomize_noise": False}
    _, latents = generator([z], truncation=0.5, **options)
    torch.testing.assert_close(latents[:, 0], 0.5 * (generator.get_latent(z) + mean))
    collapsed, _ = generator([z], truncation=0.0, **options)
    torch.testing.assert_close(collapsed[0], collapsed[1])


def test_images_of_a_group_are_told_apart_by_their_deviation() -> None:
    discriminator = tiny(Discriminator, 16)
    with pytest.raises(ValueError, match="multiple of it, not 6"):
        discriminator(torch.randn(6, 3, 16, 16))
    same = torch.randn(1, 3, 16, 16).expand(4, -1, -1, -1)
    logits = discriminator(same)
    torch.testing.assert_close(logits, logits[:1].expand(4, -1))
    assert not torch.allclose(discriminator(torch.cat([same[:3], torch.randn(1, 3, 16, 16)]))[:3], logits[:3])


@torch.no_grad()
def test_bfloat16_is_close_to_float32() -> None:
    generator, discriminator = tiny(Generator, 32), tiny(Discriminator, 32)
    z = torch.randn(4, 24)
    full, _ = generator([z], randomize_noise=False)
    logits = discriminator(full)
    generator.compute_dtype = discriminator.compute_dtype = torch.bfloat16
    half, _ = generator([z], randomize_noise=False)
    assert half.dtype == torch.float32
    assert (half - full).square().mean().sqrt() < 0.02 * full.std()
    half_logits = discriminator(full)
    assert half_logits.dtype == torch.float32
    assert (half_logits - logits).abs().max() < 0.03 * logits.abs().max()


def test_autocast_does_not_reach_into_the_networks() -> None:
    """Their own `compute_dtype` decides, so that demodulation stays in float32."""
    generator, z = tiny(Generator, 16), torch.randn(2, 24)
    with torch.no_grad():
        w = generator.get_latent(z)
        plain, _ = generator([w], input_is_latent=True, randomize_noise=False)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside, _ = generator([w], input_is_latent=True, randomize_noise=False)
    torch.testing.assert_close(inside, plain, rtol=0, atol=0)


# ---------------------------------------------------------------- growing


def grown(size: int, small_size: int) -> tuple[Any, ...]:
    """Generator and discriminator of `size`, grown from fresh ones of `small_size`."""
    small = tiny(Generator, small_size), tiny(Discriminator, small_size)
    large = tiny(Generator, size), tiny(Discriminator, size)
    grow(large[0], small[0].state_dict(), large[1], small[1].state_dict(), "small.pt")
    return *small, *large


@torch.no_grad()
def test_grown_generator_renders_the_enlarged_pictures_of_the_small_one() -> None:
    small, _, large, _ = grown(32, 16)
    z = torch.randn(3, 24)
    expected = Upsample((1, 3, 3, 1))(small([z], randomize_noise=False)[0])
    torch.testing.assert_close(large([z], randomize_noise=False)[0], expected, rtol=0, atol=1e-6)


def test_grown_networks_learn_in_every_layer() -> None:
    _, _, generator, discriminator = grown(32, 16)
    for _ in range(2):  # the new to-RGB layer is zero, so the layers before it follow one step later
        generator.zero_grad()
        torch.nn.functional.softplus(-discriminator(generator([torch.randn(2, 24)])[0])).mean().backward()
        with torch.no_grad():
            generator.to_rgbs[-1].conv.weight -= 0.1 * generator.to_rgbs[-1].conv.weight.grad
    for network in (generator, discriminator):
        still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert not still


def test_grown_discriminator_keeps_its_blocks() -> None:
    _, small, _, large = grown(32, 16)
    for old, new in ((1, 2), (2, 3)):
        for one, other in zip(small.convs[old].parameters(), large.convs[new].parameters(), strict=True):
            torch.testing.assert_close(other, one)
    torch.testing.assert_close(large.final_linear[0].weight, small.final_linear[0].weight)


@pytest.mark.parametrize(("size", "small_size"), [(16, 16), (16, 32), (64, 16)])
def test_growing_takes_a_pair_of_half_the_size_only(size: int, small_size: int) -> None:
    with pytest.raises(InputError, match="small.pt is not half the size"):
        grown(size, small_size)


def test_growing_refuses_other_widths() -> None:
    generator, discriminator = tiny(Generator, 32), tiny(Discriminator, 32)
    config = StyleGAN2Config(size=16, style_dim=24, n_mlp=2, channels={4: 8, 8: 8, 16: 8})
    small = Generator.from_config(config).state_dict(), Discriminator.from_config(config).state_dict()
    with pytest.raises(InputError, match=r"small\.pt does not fit this network: the widths"):
        grow(generator, small[0], discriminator, small[1], "small.pt")


@pytest.mark.parametrize("shape", [(2, 3, 64, 128), (1, 11, 5, 7), (2, 16, 100, 100)])
def test_products_made_for_a_gpu_are_pointwise_convolutions(shape: tuple[int, ...]) -> None:
    x = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(shape[0], 3, shape[1], dtype=torch.float64, requires_grad=True)
    expected = torch.einsum("bchw,boc->bohw", x, weight)
    found = _pointwise(x, weight, aligned=True)
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, [x, weight], direction),
        torch.autograd.grad(expected, [x, weight], direction),
    )
