"""Puts the repository root first on the import path, so that `datasets` is ours whatever is installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
