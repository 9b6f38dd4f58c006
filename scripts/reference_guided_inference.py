"""Ages photos in the style of reference photos: references above, the input and its mixtures below."""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from datasets.photos import read_path_list
from inference.loading import load_style_model
from inference.mixing import write_reference_mixtures
from inference.run import InferenceRun
from options.inference_options import ReferenceOptions, parse_inference_options
from utils.distributed import say
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``reference_guided_inference/AGE/NAME`` below ``exp_dir``."""
    opts = parse_inference_options(ReferenceOptions, arguments, __doc__ or "")
    paths = read_path_list(opts.ref_images_paths_file)
    run = InferenceRun(opts, load_style_model(opts))
    if opts.latent_mask is None:
        say("note: without --latent_mask nothing is taken from the references")
    write_reference_mixtures(run, opts, paths)


if __name__ == "__main__":
    run_command(main)
