"""Reports of trainings: what they show, when they are written, and that they never harm a training."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import commands
import numpy as np
import pytest
import torch
import training_toys as toys
from PIL import Image

from models.judges import load_judges
from models.psp import append_age
from models.psp_start import before_personalization
from options.train_options import COACHES, CoachEntry
from training.logs import EventLog
from training.reports import reporter
from training.reports.events import EventReader
from training.reports.journal import Journal
from training.reports.parts import Part
from training.reports.record import RunRecord
from training.reports.run_page import run_page
from training.run_folder import RunFolder
from utils.errors import InputError, StoppedError
from utils.notes import note
from utils.pages.blocks import Bars, Charts, Command, Film, Folded, Notes, Section, Table
from utils.pictures.curves import Curve, Panel

SHORT = ("--max_steps=6", "--val_interval=3", "--board_interval=1", "--image_interval=2", "--save_interval=3")
COACH = "age_classifier"  # the quickest


def page_text(run: Path) -> str:
    """The page without its pictures."""
    return re.sub(r"base64,[^\"]*", "base64,", (run / "report.html").read_text(encoding="utf-8"))


def read(run: Path) -> RunRecord:
    record = RunRecord(run)
    record.update()
    return record


def section(run: Path, title: str) -> Section:
    return next(part for part in run_page(read(run)).sections if part.title == title)


def blocks(run: Path, title: str, kind: type) -> list[Any]:
    return [block for block in section(run, title).blocks if isinstance(block, kind)]


# ---------------------------------------------------------------- what a report shows


@pytest.fixture(scope="module")
def trained(files: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after four steps and then finished."""
    run = tmp_path_factory.mktemp("trained") / "run"
    command = toys.arguments("psp", files, run, *SHORT, "--seed=3")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(StoppedError):
        toys.terminate_at(patch, "psp", 4)
        toys.train(command)
    assert read(run).starts[-1].ended["state"] == "stopped" and ">stopped<" in page_text(run)
    toys.train(command)
    return run


def test_a_report_says_what_was_run(trained: Path, files: SimpleNamespace) -> None:
    text = page_text(trained)
    assert ">finished<" in text and "Step 6 of 6" in text
    record = read(trained)
    assert record.command.startswith("python scripts/train.py --coach=psp --exp_dir=")
    assert record.command.endswith(" ".join((*SHORT, "--seed=3")))
    chosen, _ = blocks(trained, "What was run", Table)[:2]
    rows = {row[0]: row[1:3] for row in chosen.rows}
    assert rows["--seed"] == ["3", "0"] and rows["--train_dataset"][0] == files.faces
    assert "--r1" not in rows and "--learning_rate" in rows
    starts = blocks(trained, "What was run", Table)[1]
    assert [(row[1], row[2], row[6]) for row in starts.rows] == [
        ("0", "4", "stopped"),
        ("4", "6", "finished"),
    ]
    assert torch.__version__.split("+")[0] in text
    continuing = blocks(trained, "How to continue", Command)
    assert continuing[0].command == f"{record.command} --max_steps=12"
    assert f"--pretrained_psp_path={trained / 'checkpoints/best_model.pt'}" in continuing[1].command


def test_a_report_counts_the_pictures_by_age(trained: Path, files: SimpleNamespace) -> None:
    (train, test) = blocks(trained, "Data", Bars)
    assert train.bars == [(str(age), count) for age, count in _by_five(toys.AGES)]
    assert sum(count for _, count in test.bars) == 4
    text = page_text(trained)
    assert files.faces in text and "--test_dataset" in text


def _by_five(ages: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    for start in range(min(ages) // 5 * 5, max(ages) + 1, 5):
        yield start, sum(start <= age < start + 5 for age in ages)


def test_a_report_names_what_was_skipped_and_said(files: SimpleNamespace, tmp_path: Path) -> None:
    faces = toys.make_faces(tmp_path / "faces", range(20, 32))
    (faces / "40_1.png").write_bytes(b"nothing")
    run = tmp_path / "run"
    command = toys.arguments(COACH, files, run, *SHORT, f"--train_dataset={faces}", "--seed=1")
    toys.train(command)
    toys.train([*command, "--max_steps=8", "--seed=2"])
    loud, quiet = blocks(run, "Warnings, skipped files and notes", Notes)
    assert loud.warning and len(loud.lines) == 2  # at each start
    assert all(line.startswith("skipped: cannot read") and "40_1.png" in line for line in loud.lines)
    assert quiet.lines == ["note: --seed is 2 from step 7 on; it was 1 (step 6)"]
    (folded,) = blocks(run, "Data", Folded)
    assert folded.title == "skipped: 1" and "40_1.png" in folded.blocks[0].lines[0]


def test_a_report_has_the_curves_and_the_sheets(trained: Path) -> None:
    (charts,) = blocks(trained, "Curves", Charts)
    first = charts.panels[0]
    assert first.title == "loss" and [curve.label for curve in first.curves] == ["training", "validation"]
    assert first.curves[0].x == [1, 2, 3, 4, 5, 6] and first.curves[1].x == [3, 6]
    assert first.curves[0].y == pytest.approx(toys.scalars(trained, "train/loss"))
    assert charts.panels[-1].title == "seconds a step"
    (film,) = blocks(trained, "Sheets", Film)
    assert film.title == "test/faces/reconstruction"
    assert [frame.label for frame in film.frames] == ["step 2", "step 4", "step 6"]
    (table,) = blocks(trained, "Validation and best model", Table)
    best = read(trained).best
    assert best is not None and [row[0] for row in table.rows] == ["3", "6"]
    assert table.rows[table.marked[0]][0] == str(best.step)
    assert page_text(trained).count("<img ") == 3


def test_a_page_is_made_of_the_folder_alone(trained: Path, tmp_path: Path) -> None:
    """Also of a run from before there were reports: without journal."""
    copy = tmp_path / "old"
    shutil.copytree(trained, copy)
    (copy / "report.html").unlink()
    done = commands.run("report", str(copy))
    assert done.returncode == 0 and done.stdout.strip() == str(copy / "report.html"), done.stderr
    again = page_text(copy).replace(str(copy), str(trained))
    assert again == page_text(trained)
    (copy / "logs/journal.jsonl").unlink()
    done = commands.run("report", str(copy), f"--output={tmp_path / 'page.html'}")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ">finished<" in text and "--seed=3" in text and "counted when this page was made" in text
    record = read(copy)
    assert not record.starts and record.seconds > 0 and record.command.startswith("python scripts/train.py")


# ---------------------------------------------------------------- when it is written


def test_reports_while_a_training_runs_cost_a_small_share_of_its_time(
    files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    original = reporter.Reporter._write

    def write(self: reporter.Reporter) -> None:
        original(self)
        record = read(self._coach.run.path)
        written.append((record.step, ">running<" in page_text(self._coach.run.path)))

    monkeypatch.setattr(reporter.Reporter, "_write", write)
    toys.train(toys.arguments(COACH, files, tmp_path / "one", *SHORT))
    assert written == [(6, False)]  # a short one has no time for more
    written.clear()
    monkeypatch.setattr(reporter, "SHARE", 1e9)
    toys.train(toys.arguments(COACH, files, tmp_path / "two", *SHORT))
    assert written == [(3, True), (6, True), (6, False)]


def test_a_training_that_fails_says_why(
    files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = toys.arguments(COACH, files, tmp_path, *SHORT, "--max_skipped=1")
    with monkeypatch.context() as patch, pytest.raises(InputError):
        toys.spoil_at(patch, COACH, 5)
        toys.train(command)
    text = page_text(tmp_path)
    assert ">failed<" in text and "is not finite at step 5" in text
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(toys.coach_class(COACH), "training_step", lambda self: 1 / 0)
        toys.train(command)
    assert "ZeroDivisionError: division by zero" in page_text(tmp_path)
    toys.train(command)
    assert ">finished<" in page_text(tmp_path)


def test_a_killed_training_shows_that_it_was(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.create({"coach": COACH, "max_steps": 9})
    for step in (0, 3):
        Journal(run.logs.journal, 0.0).start(step, command="a command")
    run.close()
    starts = blocks(tmp_path, "What was run", Table)[-1]
    assert [row[6] for row in starts.rows] == ["stopped", "stopped"]
    assert "it was killed" in starts.rows[0][7] and "it was killed" in starts.rows[1][7]
    assert "it was killed" in " ".join(run_page(read(tmp_path)).summary)


# ---------------------------------------------------------------- it never harms a training


def test_trouble_with_a_report_is_one_note(
    files: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(record: RunRecord) -> None:
        raise KeyError("trouble")

    monkeypatch.setattr(reporter, "run_page", broken)
    monkeypatch.setattr(reporter, "SHARE", 1e9)
    toys.train(toys.arguments(COACH, files, tmp_path / "a", *SHORT))
    assert (tmp_path / "a/checkpoints/iteration_6.pt").is_file()
    said = capsys.readouterr().err
    assert said.count("note: ") == 1 and "report.html is not up to date: KeyError: 'trouble'" in said
    monkeypatch.undo()
    (tmp_path / "b" / "report.html").mkdir(parents=True)
    toys.train(toys.arguments(COACH, files, tmp_path / "b", *SHORT))
    assert "report.html is not up to date: cannot write" in capsys.readouterr().err


def test_damaged_logs_are_named_and_the_rest_is_shown(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    events = sorted(copy.glob("logs/events*"))[0]
    data = bytearray(events.read_bytes())
    data[len(data) // 2] ^= 0xFF
    events.write_bytes(data)
    with (copy / "logs/validation.jsonl").open("a", encoding="utf-8") as file:
        file.write("{no json\n")
    with (copy / "logs/journal.jsonl").open("ab") as file:
        file.write(b"\xff\xfe")
    sheet = sorted(copy.glob("logs/images/**/*.jpg"))[0]
    sheet.write_bytes(b"nothing")
    done = commands.run("report", str(copy))
    assert done.returncode == 0, done.stderr
    warnings = " ".join(blocks(copy, "Warnings, skipped files and notes", Notes)[0].lines)
    assert f"{events} is damaged after" in warnings and "validation.jsonl: 1 line cannot be read" in warnings
    (film,) = blocks(copy, "Sheets", Film)
    assert len(film.frames) == 2 and sheet.name in film.note
    (charts,) = blocks(copy, "Curves", Charts)
    assert charts.panels[0].curves[0].x[-2:] == [5, 6]  # of the second start, whose file is sound


def test_folders_that_are_no_runs_are_one_sentence(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    copy.mkdir()
    for content, sentence in (
        (None, "folder of a training"),
        ("{", "is damaged"),
        ("[1]", "no options"),
    ):
        if content is not None:
            (copy / "opt.json").write_text(content, encoding="utf-8")
        for command in (("report", str(copy)), ("compare_runs", str(trained), str(copy))):
            done = commands.run(*command)
            assert done.returncode == 2 and sentence in done.stderr and str(copy) in done.stderr
    done = commands.run("report", str(trained), str(copy), "--output=a.html")
    assert done.returncode == 2 and "--output names one file" in done.stderr
    done = commands.run("report", str(trained), f"--output={tmp_path / 'photo.jpg'}")
    assert done.returncode == 2 and "is no page" in done.stderr and not (tmp_path / "photo.jpg").exists()


def test_names_and_options_are_shown_as_text(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "<q>run&")
    run.create({"coach": "<i>coach", "max_steps": "<u>", "extra": "<script>x</script>"})
    run.logs.events.scalar("train/<s>loss", 1.0, 1)
    note("<em>said")
    Journal(run.logs.journal, 0.0).end(1, "<h1>", "</script>")
    run.close()
    Image.new("RGB", (4, 4)).save(run.images / "<a>_0000001.jpg")
    done = commands.run("report", str(run.path))
    assert done.returncode == 0, done.stderr
    text = page_text(run.path)
    assert not re.search(r"<(q|i|u|s|em|a)>|<script>x", text) and "&lt;script&gt;x" in text


# ---------------------------------------------------------------- the figures


def test_events_are_read_as_they_grow(tmp_path: Path) -> None:
    log, reader = EventLog(tmp_path), EventReader(tmp_path)
    for step in range(1, 6):
        log.scalar("a/b", step / 4, step)
        log.image(
            "sheet", Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)), step
        )
        log.flush()
        reader.update()
        assert list(reader.series["a/b"].steps) == list(range(1, step + 1))
    log.close()
    other = EventLog(tmp_path)  # a later start, from an earlier step
    other.scalar("a/b", 9.0, 3)
    other.close()
    (half := tmp_path / "events.out.tfevents.9999999999.00002").write_bytes(b"\x05\0\0\0")
    reader.update()
    series = reader.series["a/b"]
    assert [list(c) for c in (series.steps, series.values, series.starts)] == [
        [1, 2, 3],
        [0.25, 0.5, 9.0],
        [0, 0, 1],
    ]
    assert not reader.problems
    half.write_bytes(b"\x05" + b"\0" * 40)
    reader.update()
    assert "wrong checksum" in reader.problems[half]


# ---------------------------------------------------------------- what a coach adds


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, files: SimpleNamespace, tmp_path: Path) -> list[str]:
    """A coach that is no part of the house; its command line."""
    monkeypatch.setitem(COACHES, "toy", CoachEntry("toy_coach:CoachToy", "toy_coach:ToyOptions", "a colour"))
    run = ["--coach=toy", f"--exp_dir={tmp_path / 'run'}", f"--train_dataset={files.faces}", "--max_steps=2"]
    return [*run, "--learning_rate=0.1", "--optim_name=adam", "--device=cpu", "--image_interval=0"]


def test_a_coach_adds_parts_of_its_own(
    toy: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    red = Image.new("RGB", (20, 20), "red")
    nowhere = Curve("nowhere", [0.0], [float("nan")])
    chart = Panel("over age", "years", "share", [Curve("red", [0, 1], [2, 3], [1, 2], [3, 4]), nowhere])
    part = Part("Colours", ["How red."], ["a", "b"], [["1", "2"]], [chart], {"The colour": red})
    monkeypatch.setattr("toy_coach.CoachToy.report_parts", lambda self: [part], raising=False)
    toys.train(toy)
    text, film, table, charts = section(tmp_path / "run", "Colours").blocks
    assert text.text == "How red." and table == Table(["a", "b"], [["1", "2"]])
    assert film.title == "The colour" and len(film.frames) == 1
    assert charts.panels[0].curves[0] == chart.curves[0] and np.isnan(charts.panels[0].curves[1].y).all()
    assert "How red." in page_text(tmp_path / "run")


def test_a_part_that_fails_is_a_note_and_the_page_is_there(
    toy: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("toy_coach.CoachToy.report_parts", lambda self: 1 / 0, raising=False)
    toys.train(toy)
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert ">finished<" in page_text(tmp_path / "run") and "ZeroDivisionError" in page_text(tmp_path / "run")


def test_the_life_span_before_and_after(files: SimpleNamespace, tmp_path: Path) -> None:
    toys.train(toys.arguments("mytimemachine", files, tmp_path, *SHORT))
    part = section(tmp_path / "00000", "Life span before and after")
    film, table, charts = (block for block in part.blocks if not hasattr(block, "text"))
    assert len(table.rows) == 12 and table.rows[-1][0] == "all"
    assert [name.partition(": ")[2] for name in table.header[1:3]] == ["global SAM", "personalised"]
    judged = charts.panels[0]
    assert [curve.label for curve in judged.curves] == ["global SAM", "personalised", "asked for"]
    assert judged.curves[0].y != judged.curves[1].y
    errors = np.abs(np.array(judged.curves[0].y) - np.array(judged.curves[2].y))
    assert float(table.rows[-1][1]) >= errors.mean() - 0.5  # the mean of errors, not the error of means
    assert len(film.frames) == 1 and "flatters the personalised model" in part.blocks[0].text
    assert load_judges(files.age_classifier).age_card.sentence() in part.blocks[1].text


def test_the_network_before_personalisation_shares_all_but_the_adapter(files: SimpleNamespace) -> None:
    net = toys.network(files.mytimemachine).eval()
    torch.nn.init.normal_(next(net.blender.parameters()))
    before = before_personalization(net)
    image, years = torch.randn(1, 3, net.input_size, net.input_size), torch.tensor([40.0])
    codes = net.encode(append_age(image, years))
    assert torch.equal(before.personalize(codes, years), codes) and net.blender is not None
    assert before.decoder is net.decoder and before.kind == "sam" and net.kind == "mytimemachine"
    other = toys.network(files.sam)
    assert before_personalization(net, other.encoder).encoder is other.encoder
    assert net.encoder is not other.encoder


# ---------------------------------------------------------------- several runs


def make_run(folder: Path, values: list[float], **options: Any) -> Path:
    """The folder of a run that logged a figure."""
    run = RunFolder(folder)
    run.create({"coach": "stylegan2", "max_steps": 40, **options})
    for step, value in enumerate(values, start=1):
        run.logs.events.scalar("train/d_loss", value, 10 * step)
        run.logs.validation.append(json.dumps({"step": 10 * step, "frechet": 10 * value}))
        run.show("samples", Image.new("RGB", (9, 9), "red"), 10 * step)
    run.close()
    return folder


def test_runs_side_by_side(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / "a", [1.0, 0.5], r1=1.0),
        make_run(tmp_path / "b/00000", [0.9, 0.8, 0.2], r1=10.0),
    ]
    target = tmp_path / "page.html"
    done = commands.run("compare_runs", str(runs[0]), str(tmp_path / "b"), f"--output={target}")
    assert done.returncode == 0 and done.stdout.strip() == str(target), done.stderr
    text = re.sub(r"base64,[^\"]*", "", target.read_text(encoding="utf-8"))
    assert "2 runs: a, 00000" in text and text.count("data-group=") == 2
    assert re.search(r"<td>--r1</td>\s*<td>1.0</td>\s*<td>10.0</td>", text.replace("</td><td>", "</td> <td>"))
    assert "--max_steps</td>" not in text  # it is the same
    assert re.search(r"least frechet in validation</td><td>5</td><td>2</td>", text)


def test_runs_in_one_picture(tmp_path: Path) -> None:
    """What is asked for by name; a name that ends in .png."""
    runs = [make_run(tmp_path / "a", [1.0, 0.5, 0.2]), make_run(tmp_path / "b", [1.0, 0.9, 0.9, 0.8])]
    sizes = {}
    for figures in ("d_loss", "d_loss,train/d_loss"):
        target = tmp_path / "curves.png"
        command = ("compare_runs", *map(str, runs), f"--figures={figures}", f"--output={target}")
        done = commands.run(*command, "--height=0.6")
        assert done.returncode == 0, done.stderr
        sizes[figures] = Image.open(target).size
    assert sizes["d_loss,train/d_loss"][0] > 1.9 * sizes["d_loss"][0]
    unknown = commands.run("compare_runs", *map(str, runs), "--figures=r1", f"--output={target}")
    assert unknown.returncode == 2 and "has no figure r1; it has train/d_loss" in unknown.stderr
    for more in (["--output=a.png"], ["--output=a.html", "--height=3"]):
        refused = commands.run("compare_runs", str(runs[0]), *more)
        assert refused.returncode == 2 and "needs --figures=NAME" in refused.stderr
