"""
Auricle: language-based audio retrieval. Write a sentence, get the sounds it describes.

    from auricle import AuricleModel, AuricleProcessor, SoundIndex, load_encoder

Names are looked up when they are first used: `import auricle` itself imports neither torch nor transformers nor numpy.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .encoders import load_encoder
    from .modeling import AuricleConfig, AuricleModel
    from .processing import AuricleProcessor
    from .search import SoundIndex
else:  # Type checkers only see the imports above, and so report a misspelt name.

    def __getattr__(name):
        if name in ("AuricleConfig", "AuricleModel"):
            from . import modeling as room
        elif name == "AuricleProcessor":
            from . import processing as room
        elif name == "SoundIndex":
            from . import search as room
        elif name == "load_encoder":
            from . import encoders as room
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(room, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__version__ = "0.2.0"

__all__ = ["AuricleConfig", "AuricleModel", "AuricleProcessor", "SoundIndex", "__version__", "load_encoder"]
