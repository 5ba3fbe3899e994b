"""Weights that follow from others, computed once for a model that only embeds."""

from torch import nn

from ...modeling.beats_positions import WeightNormalisedConv


def keep_computed_weights(model: nn.Module) -> None:
    """
    Computes BEATs' normalised kernel once instead of in every call; vectors stay the same bits.

    Args:
        model: whose weights do not change any more.
    """
    for module in model.modules():
        if isinstance(module, WeightNormalisedConv):
            module.keep_weight()


__all__ = ["keep_computed_weights"]
