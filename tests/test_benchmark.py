"""The benchmark: its work is that of training and inference, the official way computes the same numbers."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from commands import run
from torch import Tensor, nn
from toy_networks import ADAPTER, SMALL_FACE, SMALL_VGG, TINY_ENCODER, TINY_GENERATOR
from training_toys import arguments, coach

from evaluation.benchmark import memory, reference, suite, training_steps
from evaluation.benchmark.gan_steps import TrainingStep
from evaluation.benchmark.networks import (
    Setting,
    Sizes,
    demo_sizes,
    narrowed,
    official_sizes,
    random_measures,
    random_psp,
)
from evaluation.benchmark.operations import count_operations
from evaluation.benchmark.plan import cases_of, effort_of, sizes_of
from evaluation.benchmark.suite import Case, Effort, Row, measure
from evaluation.benchmark.timing import Parts
from evaluation.benchmark.training_steps import (
    Built,
    mytimemachine_training,
    psp_training,
    sam_training,
)
from evaluation.benchmark.works import WORKS, Batches, Work
from models.encoders.model_irse import Backbone
from models.stylegan2.model import StyleGAN2Config
from options.benchmark_options import WORK_NAMES, BenchmarkOptions
from options.parser import parse_options
from training import trained_encoder
from utils.errors import InputError

CPU = torch.device("cpu")
TOYS = Sizes(TINY_GENERATOR, TINY_ENCODER, ADAPTER, SMALL_VGG, SMALL_FACE, lpips=False)
# Operations with a kernel of one step with the official networks, at most; widths do not matter.
MOST_OPERATIONS = {"sam": 5700, "mytimemachine": 4900}


def setting(folder: Path = Path(), sizes: Sizes = TOYS, batch: int = 2) -> Setting:
    return Setting(sizes, batch, CPU, folder, workers=1)


# ---------------------------------------------------------------- the command


def test_benchmark_compares_in_one_run(tmp_path: Path) -> None:
    works = ("generator", "ages", "folder", "data")
    sizes = ["--output_size=16", "--narrow=16", "--batch_size=1", f"--work={','.join(works)}"]
    speed = ["--rounds=1", "--steps=1", "--workers=0", "--threads=1", "--device=cpu", "--mixed_precision=no"]
    file = tmp_path / "figures.json"
    done = run("benchmark", *sizes, *speed, "--reference", f"--json={file}")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert json.loads(file.read_text(encoding="utf-8")) == figures
    rows = {(row["work"], row["step"], row["variant"]): row for row in figures["rows"]}
    assert {work for work, *_ in rows} == set(works)
    for (_, _, variant), row in rows.items():
        assert row["seconds"] > 0 and row["images_per_second"] > 0
        assert row["ratio"] == 1 or variant != "reference"
    parts = rows["ages", "", "float32"]["parts"]
    assert {"encode", "prior", "decode"} <= parts.keys() and sum(parts.values()) == pytest.approx(1)
    # every age of the official way is a pass of its own
    passes = [rows["ages", "", variant]["operations_with_kernel"] for variant in ("reference", "float32")]
    assert passes[0] > 5 * passes[1]
    assert "| one face, 11 ages" in done.stdout and "matrix product float32" in done.stdout


def test_every_work_has_a_name_on_the_command_line() -> None:
    assert tuple(WORKS) == WORK_NAMES


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--channels=4:8,x", "--channels=4:8,x: give resolution:channels pairs"),
        ("--channels=4:8,8:8", "--channels=4:8,8:8 has no entry for 16 pixels"),
        ("--output_size=48", "--output_size=48 is not a power of two"),
        ("--output_size=256 --networks=demo", "the networks of the demonstration end at 128 pixels"),
        ("--batch_size=6", "the discriminator takes 1-4 pictures or a multiple of 4"),
        ("--rounds=0", "--rounds: 0 is less than 1"),
        ("--work=sam,stylegan3", "'stylegan3' is unknown; choose among sam, "),
        ("--suite=quick --output_size=64", "--suite=quick has sizes of its own; leave out --output_size"),
    ],
)
def test_bad_benchmark_options(flag: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        parse_options(BenchmarkOptions, flag.split())


# ---------------------------------------------------------------- what is measured


def test_sizes_follow_the_pictures() -> None:
    opts = parse_options(BenchmarkOptions, [])
    assert sizes_of(opts, 64) == demo_sizes(64)
    assert sizes_of(opts, 1024) == official_sizes(1024)
    given = parse_options(BenchmarkOptions, ["--channels=4:8,8:16", "--output_size=8", "--style_dim=8"])
    generator = sizes_of(given, 8).generator
    assert generator.channels == {4: 8, 8: 16} and generator.style_dim == 8


def test_a_suite_is_made_for_the_device(tmp_path: Path) -> None:
    def cases(name: str, device: str) -> list[tuple[str, int, int]]:
        opts = parse_options(BenchmarkOptions, [f"--suite={name}"])
        found = cases_of(opts, torch.device(device), tmp_path)
        return [(case.work, case.setting.sizes.pixels, case.setting.batch) for case in found]

    on_gpu = cases("quick", "cuda")
    assert ("sam", 1024, 6) in on_gpu and ("mytimemachine", 1024, 4) in on_gpu
    assert ("stylegan2", 1024, 8) in on_gpu and ("stylegan2", 256, 32) in on_gpu
    assert {pixels for _, pixels, _ in cases("quick", "cpu")} == {64}
    assert ("sam", 1024, 2) in cases("full", "cpu")
    quick = effort_of(parse_options(BenchmarkOptions, ["--suite=quick"]), torch.device("cuda"))
    assert quick.seconds * len(on_gpu) < 60  # the first look at each variant takes the rest of four minutes


def test_narrow_networks_have_as_many_layers() -> None:
    def layers(sizes: Sizes) -> list[str]:
        with torch.device("meta"):
            return [name for name, _ in random_psp(sizes, torch.device("meta")).named_parameters()]

    assert layers(narrowed(official_sizes(), 64)) == layers(official_sizes())


class Sleeper:
    """Counts its steps; the second of its parts lies in the first."""

    def __init__(self) -> None:
        self.parts, self.module, self.calls = Parts(CPU), nn.Identity(), 0
        self.parts.watch(self.module, "inner")

    def __call__(self) -> None:
        self.calls += 1
        with self.parts("outer"):
            self.module(torch.ones(1)).add(1)


def test_a_part_in_another_counts_for_itself() -> None:
    sleeper = Sleeper()
    shares = sleeper.parts.shares(sleeper)
    assert set(shares) == {"outer", "inner", "rest"} and sum(shares.values()) == pytest.approx(1)
    assert not sleeper.module._forward_hooks and not sleeper.module._forward_pre_hooks


def test_views_need_no_kernel() -> None:
    x = torch.ones(2, 3)
    found = count_operations(lambda: (x.t().reshape(-1)[1:] + 1).sum())
    assert found.with_kernel < found.dispatched
    assert count_operations(lambda: x + x).with_kernel == count_operations(lambda: x + x).dispatched == 1
    leaf = torch.ones(2, requires_grad=True)
    assert count_operations(lambda: (leaf * leaf).sum().backward()).with_kernel > 4  # backward counts


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells the peak")
def test_peak_memory_is_that_of_the_work() -> None:
    meter = memory.PeakMemory(CPU)
    torch.ones(16 << 20)  # 64 MiB
    assert 60 << 20 < (meter.peak() or 0) < 200 << 20
    meter.begin_again()
    assert (meter.peak() or 0) < 30 << 20


def toy_work(title: str = "toy", **more: Any) -> Work:
    return Work(title, lambda *_: Built({}), Batches(1, 1, 1), **more)


def test_a_variant_is_compared_round_by_round(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"slow": iter([1.0, 4.0, 2.0]), "fast": iter([0.5, 1.0, 2.0])}
    built = {name: Built({"": SimpleNamespace(name=name)}) for name in times}
    monkeypatch.setattr(
        suite, "_first_look", lambda build, row: (built[row.variant], [Row(row.case, row.variant)])
    )
    monkeypatch.setattr(suite, "seconds", lambda run, *_: next(times[run.name]))
    case = Case("sam", setting(batch=8))
    variants: dict[str, Callable[[], Built]] = {name: partial(built.get, name) for name in times}
    slow, fast = (row.record() for row in measure(toy_work(), case, variants, Effort(rounds=3, steps=1)))
    assert (slow["seconds"], slow["ratio"], slow["images_per_second"]) == (2, 1, 4)
    assert (fast["seconds"], fast["ratio"], fast["images_per_second"]) == (1, 2, 8)
    assert (fast["quickest"], fast["slowest"]) == (0.5, 2)


def test_turns_end_in_time() -> None:
    assert Effort(rounds=3, steps=4).steps_in_turn(1000) == 4
    assert Effort(rounds=3, steps=4, seconds=9).steps_in_turn(0.5) == 2
    assert Effort(rounds=3, steps=4, seconds=9).steps_in_turn(100) == 1
    assert Effort(rounds=3, steps=4, seconds=9).steps_in_turn(0) == 4


@pytest.mark.parametrize(("left", "builds"), [(2**40, 1), (0, 4)])
def test_where_memory_is_short_variants_are_built_in_each_turn(
    left: int, builds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def build() -> Built:
        made.append(1)
        return Built({"": Sleeper()})

    monkeypatch.setattr(suite, "free", lambda device: left)
    monkeypatch.setattr(memory.PeakMemory, "peak", lambda self: 1)
    (row,) = measure(toy_work(), Case("sam", setting()), {"float32": build}, Effort(rounds=3, steps=2))
    assert len(made) == builds and len(row.seconds) == 3


def test_the_summary_weighs_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"often": 2.0, "seldom": 8.0}
    steps: dict[str, Any] = {name: SimpleNamespace(name=name) for name in times}
    monkeypatch.setattr(
        suite,
        "_first_look",
        lambda build, row: (Built(steps), [Row(row.case, row.variant, step=step) for step in times]),
    )
    monkeypatch.setattr(suite, "seconds", lambda run, *_: times[run.name])
    work = toy_work(summary=("all", {"often": 1, "seldom": 0.25}))
    variants: dict[str, Callable[[], Built]] = {"float32": lambda: Built(steps)}
    rows = measure(work, Case("sam", setting()), variants, Effort(rounds=2, steps=1))
    assert [row.step for row in rows] == ["often", "seldom", "all"]
    assert rows[-1].seconds == [4, 4]


def test_what_does_not_fit_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def measured(work: Work, case: Case, *_: Any) -> list[Row]:
        if case.work == "sam":
            raise torch.cuda.OutOfMemoryError
        return [Row(case, "float32")]

    monkeypatch.setattr(suite, "measure", measured)
    cases = [Case("sam", setting()), Case("ages", setting())]
    rows = list(suite.run_cases(cases, [torch.float32], False, Effort(1, 1)))
    assert [[row.case.work for row in found] for found in rows] == [["ages"]]
    assert "SAM step, 16 px, batch 2: not enough memory" in capsys.readouterr().err


# ---------------------------------------------------------------- the same work in both ways


def test_grouped_and_shared_steps_agree() -> None:
    config = StyleGAN2Config(8, 8, 1, channels={4: 8, 8: 8})
    steps = [TrainingStep(config, 2, CPU, grouped, torch.float32) for grouped in (True, False)]
    noise = steps[0].generator.noise_buffers()
    images = [step.generator([steps[0].z], noise=noise)[0] for step in steps]
    torch.testing.assert_close(images[0], images[1], rtol=1e-4, atol=1e-5)


def test_penalties_are_updates_of_their_own() -> None:
    built = WORKS["stylegan2"].build(setting(), torch.float32)
    summary = WORKS["stylegan2"].summary
    assert summary is not None and summary[1].keys() == built.steps.keys()
    plain = built.steps["without penalties"]
    assert isinstance(plain, TrainingStep)
    for name, net in (("R1 alone", plain.discriminator), ("path length alone", plain.generator)):
        before = [parameter.clone() for parameter in net.parameters()]
        built.steps[name]()
        changed = [(a != b).any() for a, b in zip(before, net.parameters(), strict=True)]
        assert sum(changed) > len(changed) / 2
        assert net.compute_dtype == torch.float32


def test_networks_layer_by_layer() -> None:
    net = random_psp(TOYS, CPU).eval()
    x = torch.rand(2, 4, 32, 32)
    torch.testing.assert_close(reference.encode(net.encoder, x), net.encoder(x), rtol=1e-4, atol=1e-5)
    measures = random_measures(TOYS, CPU, torch.contiguous_format)
    assert measures.identity is not None
    face = measures.identity.network
    assert isinstance(face.network, Backbone)
    found = reference.face_features(face, x[:, :3])
    torch.testing.assert_close(found, face.embed(x[:, :3]), rtol=1e-4, atol=1e-5)


class Still(torch.optim.SGD):
    """Leaves weights and gradients as they are."""

    def step(self, *_: Any) -> None:
        pass


def gradients(build: Callable[[], Built], step: str, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What one step leaves in the parameters that it trains."""
    trained: list[Still] = []

    def optimizer(*found: Any) -> Still:
        groups = list(next(part for part in found if not isinstance(part, (str, float))))
        trained.append(Still(groups, lr=0))
        return trained[-1]

    monkeypatch.setattr(training_steps, "build_optimizer", optimizer)
    monkeypatch.setattr(trained_encoder, "build_optimizer", optimizer)
    monkeypatch.setattr(reference, "published_ranger", optimizer)
    build().steps[step]()
    (only,) = trained
    return [p.grad for group in only.param_groups for p in group["params"] if p.grad is not None]


@pytest.mark.parametrize(
    ("build", "published", "step"),
    [
        (sam_training, reference.published_sam, ""),
        (mytimemachine_training, reference.published_mytimemachine, "no aging"),
        (psp_training, reference.published_psp_training, ""),
    ],
)
def test_the_official_way_leaves_the_same_gradients(
    build: Callable[..., Built],
    published: Callable[[Setting], Built],
    step: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With frozen networks in eval mode, which the official programs leave in train mode by mistake."""
    original = reference.published_psp

    def prior_in_eval_mode(*found: Any, **more: Any) -> nn.Module:
        net = original(*found, **more)
        net.frozen_prior = True
        if net.blender is not None:
            net.eval()
            net.train = lambda mode=True: net
        return net

    monkeypatch.setattr(reference, "published_psp", prior_in_eval_mode)
    ours = gradients(lambda: build(setting(), torch.float32), step, monkeypatch)
    theirs = gradients(lambda: published(setting()), step, monkeypatch)
    assert len(ours) == len(theirs) > 0
    ours_flat, theirs_flat = (torch.cat([gradient.flatten() for gradient in each]) for each in (ours, theirs))
    assert ours_flat.norm() > 0
    assert (ours_flat - theirs_flat).norm() < 1e-2 * theirs_flat.norm()


# ---------------------------------------------------------------- operations


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "build"), [("sam", sam_training), ("mytimemachine", mytimemachine_training)]
)
def test_a_step_is_that_of_the_coach(
    name: str, build: Callable[..., Built], files: SimpleNamespace, tmp_path: Path
) -> None:
    """It dispatches as much, but for the reading of pictures and the drawing of ages."""
    own = [f"--{flag}={value}" for flag, value in training_steps.AGEING.items() if "lambda" in flag]
    trained = coach(arguments(name, files, tmp_path, *own, "--optim_name=ranger", "--batch_size=4"))
    counts = []
    for _ in range(8):  # each photo is known after some of them
        counts.append(count_operations(trained.training_step).with_kernel)
        trained.state.step += 1
    built = build(setting(batch=4), torch.float32)
    found = []
    for step in built.steps.values():
        step()
        found.append(count_operations(step).with_kernel)
    assert min(found) > 0.95 * min(counts) and max(found) < 1.05 * max(counts[4:])


@pytest.mark.parametrize(
    ("name", "build", "step"),
    [("sam", sam_training, ""), ("mytimemachine", mytimemachine_training, "extrapolation")],
)
def test_operations_of_a_step(name: str, build: Callable[..., Built], step: str) -> None:
    built = build(setting(sizes=narrowed(official_sizes(), 64), batch=1), torch.float32)
    built.steps[step]()
    assert count_operations(built.steps[step]).with_kernel <= MOST_OPERATIONS[name]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_benchmark_on_a_gpu() -> None:
    toys = ["--suite=quick", "--narrow=32", "--rounds=1", "--steps=1", "--work=sam,mytimemachine,ages"]
    done = run("benchmark", *toys, "--reference", "--device=cuda")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])["rows"]
    assert {row["variant"] for row in rows} >= {"reference", "float32"}
    assert all(row["peak_memory_bytes"] > 0 for row in rows)
