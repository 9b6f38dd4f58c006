"""The old command of MyTimeMachine: `python helper.py --img_dir=... --model_path=... --blender ...`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))

from inference_lifespan import main  # noqa: E402

from utils.errors import run_command  # noqa: E402

if __name__ == "__main__":
    run_command(main)
