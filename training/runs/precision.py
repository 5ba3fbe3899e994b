"""The precision of training: the recipe's, else that of `accelerate config`, else fp32."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..recipe.reading import RecipeError
from ..recipe.schema import Recipe

# `accelerate launch` hands its setting over in this variable.
VARIABLE = "ACCELERATE_MIXED_PRECISION"
_KNOWN = ("fp32", "bf16", "fp16")

logger = logging.getLogger(__name__)


def accelerate_precision() -> str | None:
    """The precision that `accelerate launch` requests; None for no mixed precision."""
    value = os.environ.get(VARIABLE, "no").lower()
    return None if value in ("no", "") else value


def effective_precision(asked: str | None) -> str:
    """
    The precision of a stage: ``fp32``, ``bf16`` or ``fp16``.

    Args:
        asked: the recipe's; None if it leaves it open, so that accelerate's counts.

    Raises:
        RecipeError: if accelerate's setting applies and is one that the trainer does not have.
    """
    if asked is not None:
        return asked
    launched = accelerate_precision() or "fp32"
    if launched not in _KNOWN:
        raise RecipeError(
            f"accelerate's mixed precision is {launched!r}, but must be one of no, bf16, fp16; or set "
            "training.precision, which wins."
        )
    return launched


def with_effective_precision(recipe: Recipe) -> Recipe:
    """The recipe with an explicit precision instead of an open one, for the run's record and its comparison."""
    if recipe.training.precision is not None:
        return recipe
    recipe = recipe.model_copy(deep=True)
    recipe.training.precision = effective_precision(None)
    return recipe


def tell_disagreement(stage: str, precision: str) -> None:
    """Logs one line where the recipe's precision wins over accelerate's."""
    launched = accelerate_precision()
    if launched is not None and launched != precision:
        logger.warning(
            "stage %s: training.precision=%s of the recipe is used, not accelerate's %s",
            stage,
            precision,
            launched,
        )


@contextmanager
def accelerate_set_to(precision: str) -> Iterator[None]:
    """Makes accelerate take this precision for the trainers that are made meanwhile."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "no" if precision == "fp32" else precision
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


__all__ = ["accelerate_set_to", "effective_precision", "tell_disagreement", "with_effective_precision"]
