"""Published encoder checkpoints to directories that `AutoModel.from_pretrained` loads."""

from .convert import ConversionReport, convert_checkpoint, load_published, sha256_of
from .key_plan import ConversionError

__all__ = ["ConversionError", "ConversionReport", "convert_checkpoint", "load_published", "sha256_of"]
