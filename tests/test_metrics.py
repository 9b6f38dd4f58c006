"""Metrics of a generator: on known features, in training and its files, without the Inception network."""

import json
import sys
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import training_toys as toys
from toy_networks import SMALL_FACE, SMALL_VGG, TINY_GENERATOR, network_file

from criteria.distribution_distance import frechet_distance
from datasets.faces import FaceFolder
from datasets.labels import LabelledFaces
from models.feature_networks import INCEPTION_FILE, FaceFeatures, FeatureNetwork, InceptionFeatures
from models.stylegan2.model import Generator
from options.metric_options import MetricOptions, metric_names
from options.train_options import parse_train_options
from training.generator_metrics import GeneratorMetrics, Measured
from utils.age_groups import parse_age_groups
from utils.errors import InputError, StoppedError
from utils.files.checkpoints import save_checkpoint
from utils.pictures.tensors import to_float

GROUPS = "0-30,31-50,51-99"  # two, three and three of the toy faces
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("judges")
    torch.manual_seed(0)
    age = save_checkpoint(network_file("judge_age", {**SMALL_VGG, "num_classes": 101}), folder / "age.pt")
    identity = save_checkpoint(network_file("judge_identity", SMALL_FACE), folder / "identity.pt")
    return {"judge_age": str(age), "judge_identity": str(identity)}


def flags(judges: dict[str, str], *more: str) -> list[str]:
    return [*(f"--{name}={value}" for name, value in judges.items()), "--metric_samples=12", *more]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class MeanColours(FeatureNetwork):
    """Describes pictures by their mean colours."""

    name = "colours"

    def __init__(self) -> None:
        super().__init__()
        self.sources, self.seen = {"file": "none"}, 0

    def describe(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen += len(pixels)
        return to_float(pixels).mean((2, 3))


class OneColour(torch.nn.Module):
    """Stands for a generator: every class has a brightness of its own, plus a little of the latent."""

    style_dim = 4

    def noise_buffers(self) -> list[torch.Tensor]:
        return [torch.zeros(1, 1, 4, 4)]

    def forward(
        self, z: list[torch.Tensor], noise: list[torch.Tensor], labels: torch.Tensor | None
    ) -> tuple[torch.Tensor, None]:
        level = torch.zeros(len(z[0])) if labels is None else labels @ torch.tensor([-0.5, 0.0, 0.5])
        colours = level[:, None] + 0.1 * z[0][:, :3]
        return colours[:, :, None, None].expand(-1, -1, 16, 16).clamp(-1, 1), None


def metrics(
    photos: FaceFolder, monkeypatch: pytest.MonkeyPatch, kept: Path | None = None, samples: int = 40
) -> tuple[GeneratorMetrics, MeanColours]:
    network = MeanColours()
    monkeypatch.setattr("training.generator_metrics._networks", lambda *_: [network])
    monkeypatch.setattr("training.generator_metrics._network_of", lambda _: network.name)
    opts = MetricOptions(metrics=("frechet", "kid"), metric_samples=samples)
    return GeneratorMetrics(opts, photos, CPU, kept), network


# ---------------------------------------------------------------- figures


def test_total_and_classes_are_distances_of_the_features(
    files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = LabelledFaces(files.faces, 16, parse_age_groups(GROUPS))
    comparison, network = metrics(photos, monkeypatch)
    assert comparison.counts(40) == [10, 15, 15] and comparison.counts(5) == [1, 2, 2]
    frechet, kid = comparison.measure(OneColour())
    assert (frechet.metric, kid.metric, frechet.samples) == ("frechet", "kid", 40)
    assert list(frechet.figures) == ["frechet", "frechet_0-30", "frechet_31-50", "frechet_51-99"]
    assert network.seen == len(photos) + 14 + 15 + 15, (
        "an even share where a class is rarer; both from one pass"
    )
    own = comparison.of_photos(network)
    torch.testing.assert_close(own, photos.batch(list(range(8)))["image"].mean((2, 3)), atol=0.005, rtol=0)
    made = comparison._of_class(OneColour(), network, 2, [10, 15, 15])
    assert frechet.classes["51-99"] == frechet_distance(own[photos.label_of == 2].double(), made.double())
    assert made.mean() > 0.4 and frechet.classes["0-30"] != frechet.classes["51-99"]
    again = list(comparison.measure(OneColour()))
    assert [m.figures for m in again] == [frechet.figures, kid.figures]


def test_random_numbers_of_a_training_are_left_alone(
    files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison, _ = metrics(FaceFolder(files.faces, 16), monkeypatch)
    generator = Generator.from_config(TINY_GENERATOR)
    before = torch.get_rng_state()
    found = list(comparison.measure(generator))
    assert torch.equal(torch.get_rng_state(), before)
    assert list(found[0].figures) == ["frechet"] and found[0].classes == {}


def test_features_of_photos_are_kept_while_they_are_the_same(
    files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = FaceFolder(files.faces, 16)
    first, network = metrics(photos, monkeypatch, tmp_path)
    features = first.of_photos(network)
    second, network = metrics(photos, monkeypatch, tmp_path)
    assert torch.equal(second.of_photos(network), features) and network.seen == 0
    other, network = metrics(FaceFolder(files.test, 16), monkeypatch, tmp_path)
    assert len(other.of_photos(network)) == network.seen == 4
    (tmp_path / "metric-photos-colours.pt").write_bytes(b"damaged")
    third, network = metrics(photos, monkeypatch, tmp_path)
    assert torch.equal(third.of_photos(network), features) and network.seen == 8


def test_photos_that_are_decoded_on_access_have_the_same_features(
    files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, network = metrics(FaceFolder(files.faces, 16), monkeypatch)
    read, other = metrics(FaceFolder(files.faces, 16, cache=False), monkeypatch)
    torch.testing.assert_close(held.of_photos(network), read.of_photos(other))


def test_halves_of_the_photos_are_nearer_than_other_pictures(
    files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison, _ = metrics(LabelledFaces(files.faces, 16, parse_age_groups(GROUPS)), monkeypatch)
    between = comparison.between_halves("frechet")
    assert between is not None and 0 < between < next(iter(comparison.measure(OneColour()))).total
    assert comparison.between_halves("frechet", 0) is None, "two photos make no two halves"


def test_each_network_of_faces_counts_alike(judges: dict[str, str], files: SimpleNamespace) -> None:
    network = FaceFeatures(judges["judge_identity"], judges["judge_age"])
    photos = FaceFolder(files.faces, 32).batch(list(range(8)))["image"]
    features = network(photos)
    assert features.shape == (8, 12 + 101) and features.dtype == torch.float32
    torch.testing.assert_close(features[:, :12].norm(dim=1), torch.ones(8))
    spread = (features * network.scales(features)).var(0)
    assert float(spread[:12].sum()) == pytest.approx(1) and float(spread[12:].sum()) == pytest.approx(1)
    torch.testing.assert_close(network(photos + 0.001), features)  # as they are once written to files


# ---------------------------------------------------------------- in training


def test_a_training_with_metrics_and_its_files(
    files: SimpleNamespace, judges: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = flags(judges, "--metrics=frechet", f"--age_groups={GROUPS}", "--max_steps=4", "--val_interval=2")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    toys.train(toys.arguments("stylegan2", files, whole, *more))
    rows = lines(whole / "metric-frechet.jsonl")
    assert [row["step"] for row in rows] == [2, 4] and [row["kimg"] for row in rows] == [0.008, 0.016]
    assert rows[0]["metric"] == "frechet" and rows[0]["num_gpus"] == 1 and rows[0]["samples"] == 12
    names = ["frechet", "frechet_0-30", "frechet_31-50", "frechet_51-99"]
    assert list(rows[0]["results"]) == names and rows[0]["results"] != rows[1]["results"]
    assert lines(whole / "logs" / "validation.jsonl")[1] == {"step": 4, **rows[1]["results"]}
    for name in names:
        shown = toys.scalars(whole, f"test/{name}")
        assert shown == pytest.approx([row["results"][name] for row in rows], rel=1e-6)
    assert (whole / "checkpoints" / "best_model.pt").is_file()
    assert (whole / "metric-photos-faces.pt").is_file()
    with monkeypatch.context() as patch, pytest.raises(StoppedError, match="stopped at step 3"):
        toys.terminate_at(patch, "stylegan2", 3)
        toys.train(toys.arguments("stylegan2", files, parts, *more))
    with (parts / "metric-frechet.jsonl").open("a") as file:  # of a step after that of the state
        file.write(json.dumps({**rows[1], "step": 4}) + "\n")
    toys.train(toys.arguments("stylegan2", files, parts, *more))
    again = lines(parts / "metric-frechet.jsonl")
    assert [(row["step"], row["results"]) for row in again] == [(row["step"], row["results"]) for row in rows]
    first, second = (run / "checkpoints" / "iteration_4.pt" for run in (whole, parts))
    assert first.read_bytes() == second.read_bytes()


def test_metrics_change_nothing_of_a_training(
    files: SimpleNamespace, judges: dict[str, str], tmp_path: Path
) -> None:
    short = ("--max_steps=3", "--val_interval=1")
    with_, without = tmp_path / "with", tmp_path / "without"
    toys.train(toys.arguments("stylegan2", files, with_, *short, *flags(judges, "--metrics=frechet")))
    toys.train(toys.arguments("stylegan2", files, without, *short))
    states = [torch.load(run / "checkpoints" / "iteration_3.pt")["g_ema"] for run in (with_, without)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])
    assert not list(without.glob("metric-*"))


# ---------------------------------------------------------------- names and files


def test_names_of_metrics() -> None:
    assert metric_names("none") == () and metric_names("fid,frechet,fid") == ("fid", "frechet")
    opts = MetricOptions(metrics=("fid",))
    assert (opts.samples("fid"), opts.samples("kid"), opts.samples("frechet")) == (50_000, 50_000, 2_000)
    assert MetricOptions(metric_samples=7).samples("fid") == 7


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("is50k", "there is no metric 'is50k'; there are none, or frechet, fid, kid in any number"),
        ("none,fid", "'none,fid' names no metrics"),
        (",", "',' names no metrics"),
    ],
)
def test_wrong_names_are_one_sentence(
    files: SimpleNamespace, tmp_path: Path, value: str, problem: str
) -> None:
    with pytest.raises(InputError, match="argument --metrics") as error:
        parse_train_options(toys.arguments("stylegan2", files, tmp_path, f"--metrics={value}"))
    assert problem in str(error.value)


def test_without_the_package_there_is_no_fid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(InputError, match="pip install torch-fidelity .or choose --metrics=frechet"):
        InceptionFeatures()


class Extractor(torch.nn.Module):
    """Stands for the class of torch-fidelity: its arguments, its input and its output."""

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str) -> None:
        super().__init__()
        assert features_list == ["2048"]
        self.register_buffer("colours", torch.zeros(3, 5))
        self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=True))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor]:
        assert pixels.dtype == torch.uint8
        return (pixels.float().mean((2, 3)) @ self.colours,)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = Extractor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("package")
def test_fid_and_kid_with_the_package(
    files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    more = ("--metrics=fid,kid", "--metric_samples=8", "--max_steps=1")
    command = toys.arguments("stylegan2", files, tmp_path / "run", *more)
    with pytest.raises(InputError, match=f"{INCEPTION_FILE}; download https://.*--inception_weights"):
        toys.train(command)
    assert not (tmp_path / "run").exists()
    wrong = save_checkpoint({"state_dict": {"other": torch.ones(2)}}, tmp_path / "wrong.pth")
    with pytest.raises(InputError, match="wrong.pth does not hold the Inception network"):
        toys.train([*command, f"--inception_weights={wrong}"])
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save({"colours": torch.randn(3, 5)}, tmp_path / "hub" / "checkpoints" / INCEPTION_FILE)
    toys.train(command)
    (row,) = lines(tmp_path / "run" / "metric-kid.jsonl")
    assert list(row["results"]) == ["kid"]
    (row,) = lines(tmp_path / "run" / "metric-fid.jsonl")
    assert row["results"]["fid"] > 0
    assert (tmp_path / "run" / "metric-photos-inception.pt").is_file()


def test_a_line_is_that_of_nvidia() -> None:
    row = json.loads(Measured("fid", 4.5, {"0-10": 6.0}, 50_000, 83.4).line(7, 1.5))
    assert row.pop("timestamp") > 1.7e9
    assert row == {
        "results": {"fid": 4.5, "fid_0-10": 6.0},
        "metric": "fid",
        "total_time": 83.4,
        "total_time_str": "1m 23s",
        "num_gpus": 1,
        "step": 7,
        "kimg": 1.5,
        "samples": 50_000,
    }


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_measures_without_touching_the_random_numbers(
    files: SimpleNamespace, judges: dict[str, str]
) -> None:
    photos, device = FaceFolder(files.faces, 16), torch.device("cuda")
    opts = MetricOptions(metrics=("frechet",), metric_samples=12, **judges)
    generator = Generator.from_config(TINY_GENERATOR).to(device)
    before = torch.cuda.get_rng_state()
    first, second = (list(GeneratorMetrics(opts, photos, device).measure(generator)) for _ in range(2))
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert first[0].figures == pytest.approx(second[0].figures, rel=1e-3)
