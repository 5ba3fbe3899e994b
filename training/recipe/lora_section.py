"""The section of a recipe for low-rank adapters."""

from typing import Literal

from pydantic import Field

from .data_section import Settings


class LoraSection(Settings):
    """Low-rank adapters in place of whole weights (extra 'peft')."""

    towers: list[Literal["audio", "text"]] = Field(
        default_factory=list,
        description="Towers with adapters; both projections get them too. Empty: train weights.",
    )
    rank: int = Field(8, ge=1, description="Rank of the adapters.")
    alpha: float = Field(16.0, gt=0, description="Scale of the adapters is alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the adapters.")
    target_modules: list[str] = Field(
        default_factory=list, description="Names of the linear layers, such as qkv. Empty: all of them."
    )


__all__ = ["LoraSection"]
