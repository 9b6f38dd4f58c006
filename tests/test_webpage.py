"""What the page does, without a browser: models, photos, downloads, visitors, and trainings beside it."""

import importlib.util
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import ROOT, run
from PIL import Image
from toy_photos import PERSON, group_photo

from models.aging_model import load_aging_model
from options.parser import parse_options
from options.web_options import WebOptions
from utils.errors import InputError
from utils.pictures.reading import open_rgb
from webpage import downloads
from webpage.age_tab import AGE, FACE, AgeTab, Wanted
from webpage.choices import OWN_LICENCE, default_choice, find_choices
from webpage.desk import AgeingDesk, OpenedPhoto
from webpage.open_album import OpenAlbum, names_of
from webpage.trainings import DONE, FAILED, HALTED, TRAINING, Training, Trainings
from webpage.visitors import Visitors

DEMO = ROOT / "pretrained_models" / "demo"


def options(**more: Any) -> WebOptions:
    return WebOptions(device="cpu", **more)


@pytest.fixture(scope="module")
def desk() -> AgeingDesk:
    return AgeingDesk(options())


@pytest.fixture(scope="module")
def opened(desk: AgeingDesk, tmp_path_factory: pytest.TempPathFactory) -> OpenedPhoto:
    folder = tmp_path_factory.mktemp("visitor")
    photo = group_photo(tmp_path_factory.mktemp("photos") / "two people.jpg")
    return desk.open(photo, str(DEMO / "sam.pt"), False, folder)


# ---------------------------------------------------------------- models


def test_the_models_of_a_folder_come_with_licences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = find_choices(DEMO)
    assert {choice.path.name for choice in found} == {"sam.pt", "directed.pt", "reaging_gan.pt"}
    assert default_choice(found).path.name == "sam.pt"
    assert all("UTKFace" in choice.licence for choice in found)

    shutil.copy(DEMO / "reaging_gan.pt", tmp_path / "mine.pt")
    (tmp_path / "broken.pt").write_bytes(b"no weights")
    mine = find_choices(tmp_path)
    assert [(choice.label, choice.licence) for choice in mine] == [("Re-Aging GAN (mine.pt)", OWN_LICENCE)]
    assert "broken.pt" in capsys.readouterr().err


def test_a_folder_without_models_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--weights_folder=.*no file in it ages faces"):
        find_choices(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_choices(tmp_path / "missing")


@pytest.mark.parametrize("name", ["sam.pt", "directed.pt", "reaging_gan.pt"])
def test_a_photo_is_encoded_once_for_all_ages(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_aging_model(DEMO / name)
    torch.manual_seed(0)
    images, ages = torch.rand(2, 3, model.input_size, model.input_size) * 2 - 1, torch.tensor([20.0, 70.0])
    expected = model.age_path(images, ages)
    encoded = model.encode(images)
    monkeypatch.setattr(type(model), "encode", lambda *_: pytest.fail("encoded again"))
    parts = [model.age_encoded(encoded, ages[:1]), model.age_encoded(encoded, ages[1:])]
    torch.testing.assert_close(torch.cat(parts, dim=1), expected, rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- a photo


def jpeg(data: bytes, path: Path) -> np.ndarray:
    path.write_bytes(data)
    return np.asarray(open_rgb(path)).astype(np.float32)


def test_faces_are_found_marked_and_aged(opened: OpenedPhoto, tmp_path: Path) -> None:
    assert len(opened) == 2 and opened.own_ages[0].years < opened.own_ages[1].years
    plain = np.asarray(open_rgb(opened.batch.paths[0])).astype(np.float32)
    marked = jpeg(opened.before((0,)), tmp_path / "a.jpg")
    yellow = (marked[..., 0] > 200) & (marked[..., 1] > 200) & (marked[..., 2] < 90)
    assert yellow.mean() > 0.003

    one, both = (jpeg(opened.at(faces, 80), tmp_path / "b.jpg") for faces in ((0,), (0, 1)))
    left, right = np.s_[:, :340], np.s_[:, 360:]
    change = [np.abs(picture - plain) for picture in (one, both)]
    assert change[0][right].mean() < 1.0 < change[0][left].mean()  # the JPEG alone moves it by less than 1
    assert change[1][right].mean() > 2 * change[0][right].mean()


def test_years_count_from_each_own_age(opened: OpenedPhoto) -> None:
    own = opened.own_ages[1].years
    assert opened.at((1,), 10.0, relative=True, whole=False) == opened.at((1,), own + 10, whole=False)
    assert opened.at((1,), 500.0) == opened.at((1,), 100.0)


def test_a_second_look_costs_nothing(opened: OpenedPhoto, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened.at((0,), 33.0)
    monkeypatch.setattr(type(opened.run.model), "age_encoded", lambda *_: pytest.fail("aged again"))
    assert opened.at((0,), 33.0) == first


def test_an_aligned_face_is_taken_as_it_is(desk: AgeingDesk, tmp_path: Path) -> None:
    face = sorted(PERSON.glob("*.png"))[0]
    photo = desk.open(face, str(DEMO / "sam.pt"), True, tmp_path)
    assert len(photo) == 1 and photo.own_ages[0].source == "file name"
    assert jpeg(photo.before((0,)), tmp_path / "a.jpg").shape == (128, 128, 3)
    assert downloads.faces_flag(photo, (0,)) == "main"


@pytest.mark.parametrize("relative", [False, True])
def test_a_download_is_the_file_of_the_command(
    desk: AgeingDesk, opened: OpenedPhoto, tmp_path: Path, relative: bool
) -> None:
    made = downloads.make(desk, opened, (1,), 25, relative, downloads.PHOTO, tmp_path)
    assert made.name == ("two people_+25.jpg" if relative else "two people_25.jpg")
    words = downloads.command_line(opened, (1,), 25, relative).split()
    assert words[:2] == ["python", "scripts/inference.py"] and "--faces=2" in words

    age = "+25" if relative else "25"
    flags = [
        f"--checkpoint_path={DEMO / 'sam.pt'}",
        f"--target_age={age}",
        "--align",
        "--faces=2",
        "--device=cpu",
    ]
    result = run(
        "inference", *flags, f"--data_path={opened.batch.paths[0]}", f"--exp_dir={tmp_path / 'results'}"
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "results/inference_results" / age / "two people.jpg").read_bytes() == made.read_bytes()


def test_strips_and_films(desk: AgeingDesk, opened: OpenedPhoto, tmp_path: Path) -> None:
    strip = downloads.make(desk, opened, (0, 1), 60, False, downloads.STRIP, tmp_path)
    width, height = Image.open(strip).size
    assert width / height == pytest.approx(9 * 680 / 340, rel=0.02) and strip.name == "two people_strip.jpg"
    film = downloads.make(desk, opened, (0,), 60, False, downloads.GIF, tmp_path)
    with Image.open(film) as frames:
        assert frames.n_frames > 30 and frames.size == (512, 256)


def test_a_photo_without_a_face_or_that_is_none_is_named(desk: AgeingDesk, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), "red").save(tmp_path / "red.png")
    (tmp_path / "text.jpg").write_text("no picture")
    for name, reason in (("red.png", "no face found"), ("text.jpg", "cannot read")):
        with pytest.raises(InputError, match=rf"{reason}.*{name}"):
            desk.open(tmp_path / name, str(DEMO / "sam.pt"), False, tmp_path)
    with pytest.raises(InputError, match="no such checkpoint"):
        desk.open(tmp_path / "red.png", str(tmp_path / "missing.pt"), False, tmp_path)


# ---------------------------------------------------------------- visitors


def test_the_files_of_a_visitor_go_and_those_of_others_stay(tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    visitors = Visitors(served)
    mine, theirs = visitors.of("a"), visitors.of("b")
    assert visitors.of("a") is mine and mine.folder != theirs.folder
    for visitor, text in ((mine, "mine"), (theirs, "theirs")):
        sent = served / f"sent_{text}.jpg"
        sent.write_text(f"sent {text}")
        visitor.sent.add(sent)
        made = visitor.place("results") / "made.png"
        made.write_text(f"made {text}")
        shutil.copy(visitor.gives(made), served / f"copy_{text}.png")  # as the web server does
    visitors.leave("a")
    assert not mine.folder.exists() and theirs.folder.exists()
    assert {path.name for path in served.iterdir()} == {"sent_theirs.jpg", "copy_theirs.png"}
    visitors.leave("a")
    visitors.close()
    assert not served.exists() and not theirs.folder.exists()


# ---------------------------------------------------------------- photos of one person


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> OpenAlbum:
    photos = tmp_path_factory.mktemp("album")
    for path in sorted(PERSON.glob("*.png"))[::5]:
        shutil.copy(path, photos / path.name)
    Image.new("RGB", (200, 200), "red").save(photos / "red.png")
    shutil.copy(sorted(PERSON.glob("*.png"))[3], photos / "undated.png")
    return OpenAlbum(photos, tmp_path_factory.mktemp("set") / "data", "tight", "")


def index_of(album: OpenAlbum, name: str) -> int:
    return [verdict.photo.name for verdict in album.verdicts].index(name)


def test_verdicts_can_be_overruled_and_ages_typed(album: OpenAlbum, tmp_path: Path) -> None:
    before, first = album.accepted, next(i for i, v in enumerate(album.verdicts) if v.accepted)
    captions = [text for _, text in album.gallery(tmp_path)]
    assert captions[first].startswith("✓") and captions[index_of(album, "red.png")].startswith("✗ no face")
    album.overrule(first)
    assert album.accepted == before - 1 and album.verdicts[first].status == "dropped"
    album.overrule(first)
    assert album.verdicts[first].accepted
    undated = index_of(album, "undated.png")
    assert album.verdicts[undated].age.years is None
    album.set_age(undated, 23.0)
    assert album.verdicts[undated].age.years == 23.0


def test_a_data_set_is_written_or_refused(album: OpenAlbum) -> None:
    count = album.write()
    data = Path(album.opts.output_dir)
    assert count == len(list((data / "train").glob("*.png"))) >= 4
    assert not (data / "cache").exists()
    for index, verdict in enumerate(list(album.verdicts)):
        if verdict.accepted and album.accepted > 2:
            album.overrule(index)
    with pytest.raises(InputError, match="too few: at least 4"):
        album.write()


def test_a_wrong_date_of_birth_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'31.12.1980' is not a date"):
        OpenAlbum(tmp_path, tmp_path / "data", "tight", "31.12.1980")


def test_photos_of_one_name_stay_apart() -> None:
    assert names_of([Path("x/a.jpg"), Path("y/b.jpg"), Path("z/a.jpg")]) == ["a.jpg", "b.jpg", "2/a.jpg"]


# ---------------------------------------------------------------- trainings

BAR = "CoachPersonalized:  40%|## | 4/10 [00:08<00:12,  2.00s/step]"


@pytest.fixture
def trainings(tmp_path: Path) -> Iterator[Trainings]:
    found = Trainings(options(exp_dir=str(tmp_path / "models")))
    yield found
    found.close()


def program(*lines: str) -> Any:
    return lambda training: ["-c", "\n".join(("import sys, time", *lines))]


def wait_for(trainings: Trainings, training: Training, *wanted: str) -> str:
    for _ in range(400):
        if (status := trainings.status(training)) in wanted:
            return status
        time.sleep(0.05)
    return trainings.status(training)


def new(trainings: Trainings, name: str = "Ada") -> Training:
    training = Training(trainings.place("0" * 32, name))
    training.folder.mkdir(parents=True)
    return training


def test_a_training_runs_beside_the_page_and_is_found_again(trainings: Trainings) -> None:
    trainings.training_command = program(f"print({BAR!r}, flush=True)", "time.sleep(1.5)")  # type: ignore[method-assign]
    trainings.judging_command = program("print('judged')")  # type: ignore[method-assign]
    training = new(trainings)
    trainings.start(training)
    trainings.start(training)  # once is enough
    assert wait_for(trainings, training, TRAINING) == TRAINING
    for _ in range(100):
        if training.progress:
            break
        time.sleep(0.05)
    assert training.progress == (4, 10, "00:12")
    assert [found.name for found in trainings.of("0" * 32)] == ["Ada"]
    assert wait_for(trainings, training, DONE, FAILED) == DONE
    assert trainings.of("1" * 32) == []  # another visitor
    later = Trainings(trainings.opts)
    assert later.status(later.of("0" * 32)[0]) == DONE
    later.close()


def test_a_failed_training_says_why(trainings: Trainings) -> None:
    trainings.training_command = program(
        "print('error: 3 photos are too few', file=sys.stderr)", "sys.exit(2)"
    )  # type: ignore[method-assign]
    training = new(trainings)
    trainings.start(training)
    assert wait_for(trainings, training, FAILED) == FAILED
    assert training.state["sentence"] == "3 photos are too few"


def test_closing_the_server_stops_a_training_which_can_go_on(trainings: Trainings) -> None:
    trainings.training_command = program("time.sleep(60)")  # type: ignore[method-assign]
    training = new(trainings)
    trainings.start(training)
    assert wait_for(trainings, training, TRAINING) == TRAINING
    time.sleep(0.3)
    trainings.close()
    again = Trainings(trainings.opts)
    assert again.status(training) == HALTED
    again.training_command = again.judging_command = program("pass")  # type: ignore[method-assign]
    again.start(training)
    assert wait_for(again, training, DONE) == DONE
    again.remove(training)
    assert again.of("0" * 32) == []
    again.close()


def test_names_stay_inside_the_folder_and_are_taken_once(trainings: Trainings) -> None:
    assert trainings.place("0" * 32, "../../etc/Ada!").parent == trainings.root / ("0" * 32)
    assert trainings.place("..", "x").parent.parent == trainings.root
    with pytest.raises(InputError, match="give the person a name"):
        trainings.place("0" * 32, "../..")
    new(trainings, "Ada")
    with pytest.raises(InputError, match="there is a model of Ada already"):
        trainings.place("0" * 32, "Ada")


def test_the_commands_of_a_training_parse(trainings: Trainings, tmp_path: Path) -> None:
    training = new(trainings)
    assert trainings.global_checkpoint == str(DEMO / "sam.pt") or trainings.global_checkpoint.endswith(
        "sam.pt"
    )
    words = trainings.training_command(training)
    assert words[0] == "scripts/train.py" and (ROOT / words[0]).is_file()
    assert trainings.judging_command(training)[0] == "scripts/evaluate.py"
    wrong = Trainings(options(exp_dir=str(tmp_path), preset=str(ROOT / "configs/demo/sam.args")))
    with pytest.raises(InputError, match="is none of --coach=mytimemachine"):
        _ = wrong.global_checkpoint
    wrong.close()


# ---------------------------------------------------------------- the command


def test_a_page_for_others_needs_a_password() -> None:
    with pytest.raises(
        InputError, match=r"--host=0.0.0.0 opens the page to other machines; give a --password"
    ):
        parse_options(WebOptions, ["--host=0.0.0.0"])
    assert not parse_options(WebOptions, ["--host=0.0.0.0", "--password=x"]).is_local
    assert all(
        parse_options(WebOptions, [f"--host={host}"]).is_local for host in ("localhost", "127.0.0.1", "::1")
    )


def test_without_gradio_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name == "gradio" else found(name, *more)
    )
    result = run("web", "--port=0")
    assert result.returncode == 2 and "the page needs gradio; run: make web" in result.stderr


def test_a_request_can_name_neither_other_files_nor_other_models(
    desk: AgeingDesk, tmp_path: Path, trainings: Trainings
) -> None:
    gradio = pytest.importorskip("gradio", reason="gradio is not installed")
    served = tmp_path / "served"
    served.mkdir()
    visitors = Visitors(served)
    visitor, sam = visitors.of("a"), DEMO / "sam.pt"
    tab = AgeTab(desk, visitors, lambda path: path == sam or trainings.made(path))
    inside, outside = (group_photo(folder / "two.jpg") for folder in (served, tmp_path))
    wanted = Wanted(None, AGE, 60.0, FACE)

    def opened_with(path: Path, model: Path = sam) -> str:
        sent = {"path": str(path), "orig_name": "../two.jpg"}
        return str(tab.open(visitor, sent, str(model), False, wanted)[0])

    assert opened_with(inside).startswith("2 faces")
    assert [path.name for path in visitor.photos.iterdir()] == ["two.jpg"]
    assert "was not sent to this page" in opened_with(outside)
    assert "was not sent to this page" in opened_with(served / ".." / "two.jpg")
    assert "does not offer that model" in opened_with(inside, DEMO / "directed.pt")
    made = trainings.root / ("0" * 32) / "Ada" / "run" / "00000" / "checkpoints" / "iteration_2.pt"
    assert not trainings.made(made)
    made.parent.mkdir(parents=True)
    shutil.copy(sam, made)
    assert trainings.made(made) and opened_with(inside, made).startswith("2 faces")
    assert gradio and visitor.photo is not None
    visitors.close()
