"""Encoders: models that embed audio and text into one space, behind one interface.

Other rooms call `load_encoder` for an `AudioTextEncoder`; only this room depends on model classes.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .interface import AudioTextEncoder, EncoderError
    from .loading import load_encoder

__all__ = ["AudioTextEncoder", "EncoderError", "load_encoder"]


def __getattr__(name: str) -> Any:
    # Imported when first used, so that the command line starts fast.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import loading

    return getattr(loading, name)
