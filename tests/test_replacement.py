"""Parts of a folder are all old or all new after the process dies at any of its steps."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datasets.personal.replacement import finish_replacement, new_file, replaced

PARTS = ("train", "test", "manifest.json")
OLD = {"train/a": "old", "train/b": "old", "test/c": "old", "manifest.json": "old", "cache/x": "own"}
NEW = {"train/a": "new", "train/d": "new", "manifest.json": "new", "cache/x": "own"}


def tree(folder: Path) -> dict[str, str]:
    """The files of a folder and what is in them; leftovers count too."""
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


def fill(folder: Path, content: dict[str, str]) -> None:
    """Writes files."""
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def replace_all(folder: Path) -> None:
    """Puts the new parts in the place of the old ones."""
    with replaced(folder, PARTS) as new:
        fill(new, {name: text for name, text in NEW.items() if name.startswith("train")})
        new_file(new, "manifest.json").write_text("new")


def test_parts_are_replaced_and_others_stay(tmp_path: Path) -> None:
    fill(tmp_path, OLD)
    replace_all(tmp_path)
    assert tree(tmp_path) == NEW and sorted(os.listdir(tmp_path)) == ["cache", "manifest.json", "train"]
    replace_all(tmp_path / "from_nothing")
    assert sorted(os.listdir(tmp_path / "from_nothing")) == ["manifest.json", "train"]


def dying(step: Callable[..., Any], budget: list[int]) -> Callable[..., Any]:
    """A step of the file system before which the process may die without any clean-up."""

    def run(*arguments: Any, **options: Any) -> Any:
        if budget[0] == 0:
            os._exit(9)
        budget[0] -= 1
        return step(*arguments, **options)

    return run


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_a_kill_at_any_step_leaves_all_old_or_all_new(tmp_path: Path) -> None:
    outcomes = []
    for kills_after in range(60):
        folder = tmp_path / str(kills_after)
        fill(folder, OLD)
        child = os.fork()
        if child == 0:
            budget = [kills_after]
            for name in ("rename", "replace", "rmdir", "unlink", "mkdir"):
                setattr(os, name, dying(getattr(os, name), budget))
            replace_all(folder)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        finish_replacement(folder)
        shutil.rmtree(folder / ".new", ignore_errors=True)  # the next run empties it
        found = tree(folder)
        assert found in (OLD, NEW), kills_after
        outcomes.append(found == NEW)
        replace_all(folder)
        assert tree(folder) == NEW
        if status == 0:
            break
    assert status == 0 and 3 < sum(outcomes) < len(outcomes) - 3


def test_an_error_leaves_the_old(tmp_path: Path) -> None:
    fill(tmp_path, OLD)
    for trouble in (KeyboardInterrupt, OSError, ValueError):
        with pytest.raises(trouble), replaced(tmp_path, PARTS) as new:
            fill(new, {"train/x": "half"})
            raise trouble
        assert tree(tmp_path) == OLD and ".new" not in os.listdir(tmp_path)
