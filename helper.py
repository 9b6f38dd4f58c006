"""The old command of MyTimeMachine: `python helper.py --img_dir=... --model_path=... --blender ...`."""

from collections.abc import Sequence

from inference.lifespan import load_chosen_model, write_life_spans
from inference.run import InferenceRun
from options.lifespan_options import parse_lifespan_options
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Does what `scripts/inference_lifespan.py` does."""
    opts = parse_lifespan_options(arguments, __doc__ or "")
    write_life_spans(InferenceRun(opts, load_chosen_model(opts)), opts)


if __name__ == "__main__":
    run_command(main)
