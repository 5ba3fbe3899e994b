"""Geometry of towers that cut a spectrogram into square patches."""

from .config_checks import refuse_numbers_below_one

_SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "sampling_rate",
    "num_mel_bins",
    "num_frames",
    "patch_size",
)


class SquarePatchGeometry:
    """
    Patch counts and their checks, for configs with ``num_mel_bins``, ``num_frames`` and ``patch_size``.

    Patches are side by side unless the config has ``frequency_stride`` and ``time_stride``.
    """

    @property
    def num_frequency_patches(self) -> int:
        """Rows of patches: ``(num_mel_bins - patch_size) // stride + 1``."""
        stride = getattr(self, "frequency_stride", self.patch_size)
        return (self.num_mel_bins - self.patch_size) // stride + 1

    @property
    def num_time_patches(self) -> int:
        """Columns of patches of a full segment: ``(num_frames - patch_size) // stride + 1``."""
        return (self.num_frames - self.patch_size) // getattr(self, "time_stride", self.patch_size) + 1

    def check_geometry(self) -> None:
        """
        Raises ValueError naming the field if a size is below 1, the heads do not divide the width, a segment
        is smaller than one patch, or patchout would leave nothing.
        """
        refuse_numbers_below_one(self, _SIZES)
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} cannot be split over num_attention_heads="
                f"{self.num_attention_heads}; it must be a multiple of it."
            )
        for field in ("num_mel_bins", "num_frames"):
            if getattr(self, field) < self.patch_size:
                raise ValueError(
                    f"{field}={getattr(self, field)} is smaller than one patch ({self.patch_size})."
                )
        limits = {
            "patchout_frequency": (self.num_frequency_patches, "rows"),
            "patchout_time": (self.num_time_patches, "columns"),
        }
        for field, (count, name) in limits.items():
            if not 0 <= getattr(self, field) < count:
                raise ValueError(
                    f"{field}={getattr(self, field)} must leave at least one of the {count} {name} of patches."
                )
        if self.patchout_unstructured < 0:
            raise ValueError(f"patchout_unstructured={self.patchout_unstructured} must not be negative.")


__all__ = ["SquarePatchGeometry"]
