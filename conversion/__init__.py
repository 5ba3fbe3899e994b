"""Published checkpoints to directories that `AutoModel.from_pretrained` loads."""

from .convert import ConversionReport, convert_checkpoint, load_published, sha256_of
from .key_plan import ConversionError
from .retrieval import convert_retrieval

__all__ = [
    "ConversionError",
    "ConversionReport",
    "convert_checkpoint",
    "convert_retrieval",
    "load_published",
    "sha256_of",
]
