"""Options that name the judges: two networks that no loss used."""

from dataclasses import dataclass

from configs.paths_config import model_paths
from utils.typed_options import Options, option, path


@dataclass(frozen=True, kw_only=True)
class JudgeOptions(Options):
    """Which networks look at the pictures."""

    title = "judges: networks that no loss used"

    judge_age: str = option(
        model_paths["demo_judge_age"],
        path,
        "tells ages; in evaluations also dlib, whose public network it is (the extra judges)",
        metavar="FILE",
    )
    judge_identity: str = option(
        model_paths["demo_judge_identity"],
        path,
        "tells people apart: a face network (model_ir_se50.pth is ArcFace's); in evaluations also dlib, "
        "whose public descriptor it is",
        metavar="FILE",
    )
