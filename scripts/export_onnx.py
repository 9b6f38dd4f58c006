"""Exports an ageing model as ONNX graphs, which `--checkpoint_path=FOLDER` of every inference command runs.

python scripts/export_onnx.py --checkpoint_path=FILE --output_dir=FOLDER
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from inference.loading import replace_drifted_encoder
from models.aging_model import load_aging_model
from models.exported.export import ExportSettings, export_model
from models.licences import licence_of
from options.export_options import ExportOptions
from options.parser import parse_options
from utils.errors import run_command
from utils.files.checkpoints import load_checkpoint


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the graphs with their card, and prints how far each is from the model."""
    opts = parse_options(ExportOptions, arguments, __doc__ or "")
    model = load_aging_model(opts.checkpoint, "cpu", opts.global_checkpoint, "no", opts.encoder_path)
    if opts.global_checkpoint is None:
        replace_drifted_encoder(model, opts.checkpoint)
    licence = licence_of(opts.checkpoint, load_checkpoint(opts.checkpoint))
    settings = ExportSettings(opts.parts, opts.precision, opts.external_data)
    content = export_model(model, opts.folder, settings, licence, opts.checkpoint)
    for name, graph in content["graphs"].items():
        print(f"{name}: largest difference {graph['largest_difference']:.2g}, bound {graph['bound']:g}")
    print(f"licence: {content['licence']}\nresults in {opts.folder}")


if __name__ == "__main__":
    run_command(main)
