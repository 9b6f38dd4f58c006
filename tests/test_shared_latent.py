"""The closed-form W space: one vector for all styles gives the same pictures; random ones vary like them."""

import pytest
import torch

from models.stylegan2.model import Generator
from models.stylegan2.shared_latent import SHIFT, principal_components, with_shared_latent


def make_generator() -> Generator:
    torch.manual_seed(0)
    return Generator(16, 8, 3, channels={4: 8, 8: 8, 16: 8}).eval().requires_grad_(False)


def low_rank_codes(generator: Generator, count: int = 200) -> torch.Tensor:
    """Codes with no more directions than the length of a style, so that nothing is lost."""
    mixing = torch.randn(8, generator.n_latent * 8) * torch.logspace(0, -1, 8)[:, None]
    return (torch.randn(count, 8) @ mixing).view(count, generator.n_latent, 8) + torch.randn(1, 6, 8)


def test_one_vector_gives_the_picture_of_the_code() -> None:
    generator = make_generator()
    codes = low_rank_codes(generator)
    mean, basis = principal_components(codes.double(), 8)
    w = torch.linalg.lstsq(basis.flatten(0, 1), (codes.double() - mean).flatten(1).t()).solution.t()
    torch.testing.assert_close(w.std(0, unbiased=False), torch.ones(8, dtype=torch.float64))
    shared = with_shared_latent(generator, codes)
    before, _ = generator([codes[:4]], input_is_latent=True, randomize_noise=False)
    after, _ = shared([w[:4].float() + SHIFT], input_is_latent=True, randomize_noise=False)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)


def test_mapping_is_the_normalised_latent() -> None:
    generator = make_generator()
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    shared = with_shared_latent(generator, low_rank_codes(generator))
    z = torch.randn(50, 8)
    expected = z * torch.rsqrt(z.square().mean(1, keepdim=True)) + SHIFT
    torch.testing.assert_close(shared.get_latent(z), expected, rtol=1e-5, atol=1e-5)
    assert shared.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in generator.state_dict().items())


def test_random_pictures_vary_like_the_rendered_codes() -> None:
    generator = make_generator()
    codes = low_rank_codes(generator, 500)
    known, _ = generator([codes], input_is_latent=True, randomize_noise=False)
    drawn, _ = with_shared_latent(generator, codes)([torch.randn(500, 8)], randomize_noise=False)
    ratio = drawn.std(0).mean() / known.std(0).mean()
    assert 0.8 < ratio < 1.25


def test_codes_of_another_generator_are_refused() -> None:
    with pytest.raises(ValueError, match=r"codes must be \(N, 6, 8\), not \(5, 4, 8\)"):
        with_shared_latent(make_generator(), torch.zeros(5, 4, 8))
