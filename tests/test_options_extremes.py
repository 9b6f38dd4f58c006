"""Every flag of every command with values that nobody means, and presets that cannot be read."""

import importlib
import os
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path

import pytest
from commands import ROOT

from options import parser
from options.train_options import COACHES, options_class, parse_train_options
from utils.errors import InputError
from utils.typed_options import MOST, Options, flags_of

VALUES = [
    *(
        "",
        " ",
        "-1",
        "0",
        "1",
        "1e400",
        "nan",
        "inf",
        "-inf",
        "1e-400",
        "1e300",
        "0x10",
        "1_000",
        "\uff11\uff12",
    ),
    *("9" * 400, "9" * 5000, "-" + "9" * 30, str(2**31), str(2**63), str(2**64), "100000"),
    *(
        "\0",
        "a\0b",
        "a" * 300,
        "a" * 5000,
        "../" * 200 + "a",
        "~nobody/a",
        "/dev/null/a",
        "\udc80",
        "e\u0301",
        "a\nb",
    ),
    *(
        ",",
        "1,2,,3",
        "-",
        "--",
        "=",
        "4:8",
        "4:0",
        ":",
        "1-",
        "100-0",
        "[1]",
        "{}",
        "%s",
        "@",
        "@none",
        "None",
        "True",
    ),
]


def every_class() -> dict[str, type[Options]]:
    """The options of every command: the most special classes of every module, and those of the coaches."""
    found = {f"train --coach={coach}": options_class(coach) for coach in COACHES}
    for path in sorted((ROOT / "options").glob("*.py")):
        module = importlib.import_module(f"options.{path.stem}")
        for name, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, Options) and value.__module__ == module.__name__:
                found[name] = value
    special = {base for options in found.values() for base in options.__mro__[1:]}
    return {name: value for name, value in found.items() if value not in special}


CLASSES = every_class()


def command_lines(options: type[Options]) -> Iterator[tuple[str, list[str]]]:
    """Each flag with each value, beside what the command needs; the flag comes first."""
    flags = [(item.name, item.metadata["flag"], item.default) for _, item in flags_of(options)]
    flags += [(flag.name, flag, flag.default) for flag in options.unread]
    needed = {name: flag for name, flag, default in flags if default is MISSING}
    for name, flag, default in flags:
        if default is False or flag.kind is None:  # a switch
            continue
        rest = ["x" if flag.positional else f"--{other}=x" for other, flag in needed.items() if other != name]
        for value in VALUES:
            positional = getattr(flag, "positional", False)
            yield name, [value if positional else f"--{name}={value}", *rest]


@pytest.mark.parametrize("command", CLASSES)
def test_no_value_of_any_flag_is_more_than_a_sentence(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command_parser = parser.build_parser(CLASSES[command])
    for name, words in command_lines(CLASSES[command]):
        try:
            result = parser.filled(CLASSES[command], command_parser.parse_args(words))
        except InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 1000, words
            continue
        value = getattr(result, name, None)
        if isinstance(value, int) and not isinstance(value, bool):
            assert 0 <= value <= MOST, (name, value)
    assert not list(tmp_path.iterdir())
    capsys.readouterr()  # notes on flags without effect


def test_a_near_flag_is_named() -> None:
    with pytest.raises(InputError, match="unrecognized arguments: --batchsize=4; did you mean --batch_size?"):
        parse_train_options(["--coach=sam", "--exp_dir=e", "--l2_lambda=1", "--batchsize=4"])


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_of_a_needed_folder_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="--exp_dir: names nothing"):
        parse_train_options(["--coach=sam", f"--exp_dir={name}", "--l2_lambda=1"])


# ---------------------------------------------------------------- presets

LINE = "--coach=sam --l2_lambda=1 --exp_dir=e"


def steps_of(preset: Path, *more: str) -> int:
    return parse_train_options([f"@{preset}", *more]).max_steps


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_presets_of_every_editor_are_read(encoding: str, newline: str, tmp_path: Path) -> None:
    text = f"# a comment\n{LINE}\n\n--max_steps=7  # of a trial\n--train_dataset='{tmp_path}/my faces'\n"
    preset = tmp_path / "a.args"
    preset.write_bytes(text.replace("\n", newline).encode(encoding))
    opts = parse_train_options([f"@{preset}"])
    assert (opts.max_steps, opts.record()["train_dataset"]) == (7, f"{tmp_path}/my faces")
    assert steps_of(preset, "--max_steps=9") == 9


def test_a_preset_names_another_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner.args").write_text(LINE + " --max_steps=5")
    (tmp_path / "outer.args").write_text("@inner.args\n--max_steps=6\n")
    assert steps_of(tmp_path / "outer.args") == 6
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_train_options(["@~/inner.args"]).max_steps == 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"@a.args", "a.args includes itself"),
        (b"@b.args", "includes itself"),
        (b"--exp_dir=\xff\xfe", "no text in UTF-8"),
        (b"--exp_dir='e", "line 1: no closing quotation"),
        (b"@none.args", "@none.args: no such preset"),
        (b"x" * 1_100_000, "too large for a preset"),
    ],
)
def test_presets_that_cannot_be_read(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.args").write_bytes(content)
    (tmp_path / "b.args").write_text("@a.args")
    with pytest.raises(InputError) as caught:
        parse_train_options([f"@{tmp_path / 'a.args'}"])
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_pipes_and_folders_are_no_presets(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.args")
    for place in (tmp_path / "pipe.args", tmp_path):
        with pytest.raises(InputError, match="no such preset"):
            parse_train_options([f"@{place}"])
