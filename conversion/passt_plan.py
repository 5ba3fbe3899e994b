"""Key plan of PaSST's published checkpoints: one flat dict of tensors."""

from ..modeling import PasstConfig
from .key_plan import Checkpoint, ConversionError, KeyPlan, attention_heads, count_blocks, need, split_dropped

DROPPED = {
    "head_dist.": "classifier on the second token, which the published model never uses",
    "head.": "AudioSet classifier",
}
NUM_MEL_BINS = 128
PATCH_SIZE = 16
# Strides that checkpoints were published with; the position grids distinguish them.
STRIDES = (10, 12, 14, 16, 20)
FULL_SEGMENT_FRAMES = 1000


def plan_passt(
    checkpoint: Checkpoint, heads: int | None = None, frames: int = FULL_SEGMENT_FRAMES
) -> KeyPlan:
    """
    Config and weights of a PaSST.

    Args:
        checkpoint: checkpoint of PaSST.
        heads: number of attention heads where it is not one for every 64 channels.
        frames: frames of a full segment; another number is taken where the table of positions is not made for it.

    Raises:
        ConversionError: if the geometry cannot be read from the shapes.
    """
    _, width, rows, _ = need(checkpoint, "freq_new_pos_embed", 4).shape
    columns = need(checkpoint, "time_new_pos_embed", 4).shape[3]
    tensors, dropped = split_dropped(checkpoint.weights, DROPPED)
    frequency_stride = _stride(rows, checkpoint.name)
    # All published variants use the same stride in time and frequency; short inputs do not show theirs.
    time_stride = frequency_stride
    if (frames - PATCH_SIZE) // time_stride + 1 != columns:
        frames = PATCH_SIZE + (columns - 1) * time_stride
    config = PasstConfig(
        hidden_size=width,
        num_hidden_layers=count_blocks(checkpoint, "blocks"),
        num_attention_heads=attention_heads(checkpoint, width, heads),
        intermediate_size=need(checkpoint, "blocks.0.mlp.fc1.weight", 2).shape[0],
        num_mel_bins=NUM_MEL_BINS,
        num_frames=frames,
        patch_size=PATCH_SIZE,
        frequency_stride=frequency_stride,
        time_stride=time_stride,
        # Structured patchout leaves at least one row and column of a small grid.
        patchout_frequency=min(2, rows - 1),
        patchout_time=min(15, columns - 1),
    )
    return KeyPlan(config, tensors, dropped)


def _stride(rows: int, name: str) -> int:
    for stride in STRIDES:
        if (NUM_MEL_BINS - PATCH_SIZE) // stride + 1 == rows:
            return stride
    known = [(NUM_MEL_BINS - PATCH_SIZE) // stride + 1 for stride in STRIDES]
    raise ConversionError(
        f"{name}: freq_new_pos_embed has {rows} rows of patches; published PaSST checkpoints have one of {known}."
    )
