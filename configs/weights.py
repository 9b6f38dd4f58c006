"""The one table of weights: file, size, checksum, source, licence and input of every network.

``size`` and ``sha256`` are what a mirror with the same file publishes (named in ``mirrors``, or beside the
entry); None where no such figure was found. Megabytes of other files are those of their tensors in float32,
counted from the published layouts. For bundled files the repository's own history vouches.
"""

from dataclasses import dataclass

DRIVE = "https://drive.google.com/file/d/"
FACENET_RELEASE = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/"
HUGGING_FACE = "https://huggingface.co/{repository}/resolve/main/{file}"


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
        size: exact size in bytes, None where unknown.
        sha256: checksum of the file in hexadecimal, None where unknown.
        mirrors: other addresses of the same file, tried when the source fails.
    """

    file: str
    source: str
    licence: str
    input_size: int
    normalisation: str
    megabytes: int | None = None
    size: int | None = None
    sha256: str | None = None
    mirrors: tuple[str, ...] = ()

    @property
    def bundled(self) -> bool:
        """Whether the file comes with the repository."""
        return self.file.startswith("pretrained_models/demo/")

    @property
    def name(self) -> str:
        """Name of the file without its folder."""
        return self.file.rpartition("/")[2]


_RGB = "RGB in [-1, 1]"
_FACENET_RGB = "RGB, (value - 127.5) / 128: [-1, 1] within half a per cent"
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
        megabytes=2271,
        size=2_270_547_237,  # as a program that ships the file expects it; its checksum was not found
        mirrors=(HUGGING_FACE.format(repository="aimi-models/sam-aging", file="sam_ffhq_aging.pt"),),
    ),
    "pretrained_psp": Weight(
        file="pretrained_models/psp_ffhq_encode.pt",
        source=DRIVE + "1bMTNWkh5LArlaWSc_wa8VKyq2V42T2z0",
        licence=_FFHQ_LICENCE,
        input_size=256,
        normalisation=_RGB,
        megabytes=1202,
        size=1_201_515_631,
        sha256="f786ac5cf18fcdbc5c57c9f3f12cbedca69381fbdf5694dd132294e3133749d7",
        mirrors=(HUGGING_FACE.format(repository="trysem/pixel2style2pixel", file="psp_ffhq_encode.pt"),),
    ),
    "stylegan_ffhq": Weight(
        file="pretrained_models/stylegan2-ffhq-config-f.pt",
        source=DRIVE + "1EM87UquaoQmk17Q8d5kYIAHqu0dkYqdT",
        licence="NVIDIA Source Code License (non-commercial); a conversion of NVIDIA's file",
        input_size=0,
        normalisation="style vectors",
        megabytes=381,
        size=381_462_551,
        sha256="bae494ef77e32a9cd1792a81a3c167692a0e64f6bcd8b06592ff42917e2ed46e",
        mirrors=(
            HUGGING_FACE.format(
                repository="akhaliq/OneshotCLIP-stylegan2-ffhq", file="stylegan2-ffhq-config-f.pt"
            ),
        ),
    ),
    "ir_se50": Weight(
        file="pretrained_models/model_ir_se50.pth",
        source=DRIVE + "1KW7bjndL3QG3sxBbZxreGHigcCCpsDgn",
        licence="MIT code (TreB1eN/InsightFace_Pytorch); learned from MS-Celeb-1M",
        input_size=112,
        normalisation=_RGB,
        megabytes=175,
        size=175_367_323,
        sha256="a035c768259b98ab1ce0e646312f48b9e1e218197a0f80ac6765e88f8b6ddf28",
        mirrors=(
            "https://github.com/xinntao/facexlib/releases/download/v0.1.0/recognition_arcface_ir_se50.pth",
        ),
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
    "facenet_vggface2": Weight(
        file="pretrained_models/20180402-114759-vggface2.pt",
        source=FACENET_RELEASE + "20180402-114759-vggface2.pt",
        licence="MIT code (timesler/facenet-pytorch); learned from VGGFace2; none for the weights",
        input_size=160,
        normalisation=_FACENET_RGB,
        megabytes=112,
        size=111_898_327,  # and the checksum: py-feat/facenet on Hugging Face, under another name
        sha256="281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
    ),
    "facenet_casia_webface": Weight(
        file="pretrained_models/20180408-102900-casia-webface.pt",
        source=FACENET_RELEASE + "20180408-102900-casia-webface.pt",
        licence="MIT code (timesler/facenet-pytorch); learned from CASIA-WebFace; none for the weights",
        input_size=160,
        normalisation=_FACENET_RGB,
        megabytes=116,
    ),
    "stylegan2_ada_ffhq": Weight(
        file="pretrained_models/ffhq.pkl",
        source="https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/ffhq.pkl",
        licence="NVIDIA Source Code License (non-commercial)",
        input_size=0,
        normalisation="style vectors",
        megabytes=382,
        size=381_624_121,  # and the checksum: DragGan/DragGan-Models on Hugging Face, under another name
        sha256="a205a346e86a9ddaae702e118097d014b7b8bd719491396a162cca438f2f524c",
    ),
    "lpips_alexnet": Weight(
        file="pretrained_models/alexnet-owt-7be5be79.pth",
        source="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        licence="BSD 3-Clause (torchvision); learned from ImageNet",
        input_size=224,
        normalisation="RGB with ImageNet mean and deviation (the perceptual loss takes [-1, 1] and converts)",
        megabytes=244,
        sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    ),
    "vgg19": Weight(
        file="pretrained_models/vgg19-dcbb9e9d.pth",
        source="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        licence="BSD 3-Clause (torchvision); learned from ImageNet",
        input_size=224,
        normalisation="RGB with ImageNet mean and deviation (the style loss takes [-1, 1] and converts)",
        megabytes=575,
        size=574_673_361,
        sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
    ),
    "demo_stylegan2": Weight(
        file="pretrained_models/demo/stylegan2.pt",
        source=_DEMO_SOURCE,
        licence=_DEMO_LICENCE,
        input_size=0,
        normalisation="style vectors",
    ),
    "demo_reaging_gan": Weight(
        file="pretrained_models/demo/reaging_gan.pt",
        source=_DEMO_SOURCE,
        licence=_DEMO_LICENCE,
        input_size=64,
        normalisation=_RGB,
    ),
    "demo_directed": Weight(
        file="pretrained_models/demo/directed.pt",
        source=_DEMO_SOURCE,
        licence=_DEMO_LICENCE,
        input_size=96,
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
