"""How the files of a step are called: by steps, or by thousands of pictures as NVIDIA's programs do."""

import re
from pathlib import Path


class FileNames:
    """Names by steps: `iteration_300.pt`, `faces_0000300.jpg`."""

    _weights, _sheet = r"iteration_(\d+)", r"_\d{7}\.jpg"  # what they match

    def weights(self, step: int) -> str:
        """Name of the weights of a step, without suffix."""
        return f"iteration_{step}"

    def sheet(self, name: str, step: int) -> str:
        """Name of a sheet of pictures, below the folder of sheets."""
        return f"{name}_{step:07d}.jpg"

    def number(self, weights: Path) -> int | None:
        """What counts up in the name of weights; None where they are not those of a step."""
        found = re.fullmatch(self._weights, weights.stem)
        return int(found[1]) if found else None

    def is_sheet(self, name: str, path: Path) -> bool:
        """Whether a file is a sheet of that name, of any step."""
        return re.fullmatch(re.escape(Path(name).name) + self._sheet, path.name) is not None


class SnapshotNames(FileNames):
    """Names by thousands of pictures: `network-snapshot-000201.pt`, `fakes000201.png`.

    Args:
        batch_size: pictures a step.
    """

    _weights, _sheet = r"network-snapshot-(\d{6,})", r"\d{6,}\.png"

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size

    def weights(self, step: int) -> str:
        return f"network-snapshot-{self._thousands(step):06d}"

    def sheet(self, name: str, step: int) -> str:
        return f"{name}{self._thousands(step):06d}.png"

    def _thousands(self, step: int) -> int:
        return step * self._batch_size // 1000
