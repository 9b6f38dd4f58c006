"""The one table of weights: file, checksum, source, licence, size and input of every network.

Megabytes of official files are those of their tensors in float32, counted from the published layouts.
Checksums are None where no file was at hand to compute them from, and for bundled files, for which the
repository's own history vouches.
"""

from dataclasses import dataclass

SAM_PAGE = "https://github.com/yuval-alaluf/SAM#pretrained-models"
DRIVE = "https://drive.google.com/file/d/"


@dataclass(frozen=True)
class Weight:
    """One file of weights.

    Attributes:
        file: path below the repository root.
        source: where the file comes from.
        licence: what its owners allow, in one line.
        input_size: side in pixels of the square input; 0 where the network takes none (a generator).
        normalisation: what the input must look like.
        megabytes: approximate size of the download (10^6 bytes), None for bundled files.
        sha256: checksum of the file in hexadecimal, None where unknown.
    """

    file: str
    source: str
    licence: str
    input_size: int
    normalisation: str
    megabytes: int | None = None
    sha256: str | None = None

    @property
    def bundled(self) -> bool:
        """Whether the file comes with the repository."""
        return self.file.startswith("pretrained_models/demo/")


_RGB = "RGB in [-1, 1]"
_RGB_AND_AGE = "RGB in [-1, 1] and a fourth plane with the target age in units of 100 years"
_DEMO_SOURCE = "trained by AgeLab: make demo-weights"
_DEMO_LICENCE = "research use (learned from UTKFace, which is non-commercial research only)"
_FFHQ_LICENCE = "MIT code; learned from FFHQ (CC BY-NC-SA 4.0), so non-commercial"

WEIGHTS: dict[str, Weight] = {
    "sam_ffhq_aging": Weight(
        file="pretrained_models/sam_ffhq_aging.pt",
        source=DRIVE + "1XyumF6_fdAxFmxpFcmPf-q84LU_22EMC",
        licence=_FFHQ_LICENCE,
        input_size=256,
        normalisation=_RGB_AND_AGE,
        megabytes=2270,
    ),
    "pretrained_psp": Weight(
        file="pretrained_models/psp_ffhq_encode.pt",
        source=DRIVE + "1bMTNWkh5LArlaWSc_wa8VKyq2V42T2z0",
        licence=_FFHQ_LICENCE,
        input_size=256,
        normalisation=_RGB,
        megabytes=1201,
    ),
    "stylegan_ffhq": Weight(
        file="pretrained_models/stylegan2-ffhq-config-f.pt",
        source=DRIVE + "1EM87UquaoQmk17Q8d5kYIAHqu0dkYqdT",
        licence="NVIDIA Source Code License (non-commercial); a conversion of NVIDIA's file",
        input_size=0,
        normalisation="style vectors",
        megabytes=382,
    ),
    "ir_se50": Weight(
        file="pretrained_models/model_ir_se50.pth",
        source=DRIVE + "1KW7bjndL3QG3sxBbZxreGHigcCCpsDgn",
        licence="MIT code (TreB1eN/InsightFace_Pytorch); learned from MS-Celeb-1M",
        input_size=112,
        normalisation=_RGB,
        megabytes=175,
    ),
    "age_predictor": Weight(
        file="pretrained_models/dex_age_classifier.pth",
        source=DRIVE + "1atzjZm_dJrCmFWCqWlyspSpr3nI6Evsh",
        licence="non-commercial (DEX weights, fine-tuned on FFHQ-Aging)",
        input_size=224,
        normalisation=_RGB,
        megabytes=539,
    ),
    "mytimemachine_example": Weight(
        file="pretrained_models/mytimemachine_example.pt",
        source=DRIVE + "1RvQ-qTVHwYYMtBYtbbEEB_3Vex8GfB9U",
        licence="none stated by its authors; contains the SAM weights",
        input_size=256,
        normalisation=_RGB_AND_AGE,
        megabytes=2315,
    ),
    "demo_stylegan2": Weight(
        file="pretrained_models/demo/stylegan2.pt",
        source=_DEMO_SOURCE,
        licence=_DEMO_LICENCE,
        input_size=0,
        normalisation="style vectors",
    ),
    "demo_psp": Weight(
        file="pretrained_models/demo/psp.pt",
        source=_DEMO_SOURCE,
        licence=_DEMO_LICENCE,
        input_size=64,
        normalisation=_RGB,
    ),
    "demo_sam": Weight(
        file="pretrained_models/demo/sam.pt",
        source=_DEMO_SOURCE,
        licence=_DEMO_LICENCE,
        input_size=64,
        normalisation=_RGB_AND_AGE,
    ),
    **{
        f"demo_{name}": Weight(
            file=f"pretrained_models/demo/{name}.pt",
            source=_DEMO_SOURCE,
            licence=_DEMO_LICENCE,
            input_size=128,
            normalisation=_RGB,
        )
        for name in ("age_classifier", "identity", "judge_age", "judge_identity")
    },
}
