"""Ways to personalise SAM that are set side by side, as further flags of `--coach=mytimemachine`."""

_FINE_TUNED = ("--personalize=encoder", "--learning_rate=1e-4")
_AS_SAM = ("--extrapolation_target=photo",)
_NO_NEIGHBOURS = ("--nearest_neighbor_id_loss_lambda=0",)
_NO_ADAPTIVE = ("--adaptive_w_norm_lambda=0",)

VARIANTS: dict[str, tuple[str, ...]] = {
    # adapters; those of few numbers take larger steps
    "bottleneck": ("--blender_type=bottleneck",),
    "delta": ("--blender_type=delta", "--learning_rate=1e-2"),
    "linear": ("--blender_type=linear",),
    "blend": ("--blender_type=blend", "--learning_rate=1e-2"),
    "gaussian_process": ("--blender_type=gaussian_process", "--learning_rate=1e-2"),
    # SAM fine-tuned, and the ablation of the MyTimeMachine paper (figure 8): what it adds, one after another
    "fine_tuned": (*_FINE_TUNED, *_AS_SAM, *_NO_NEIGHBOURS, *_NO_ADAPTIVE),
    "fine_tuned_neighbours": (*_FINE_TUNED, *_AS_SAM, *_NO_ADAPTIVE),
    "fine_tuned_c": (*_FINE_TUNED, *_AS_SAM, *_NO_NEIGHBOURS),  # C: the adaptive W-norm
    "fine_tuned_b": (*_FINE_TUNED, *_AS_SAM),  # B: and the personal ageing loss
    "fine_tuned_a": _FINE_TUNED,  # A: and the regularised extrapolation; with the adapter it is `bottleneck`
}
