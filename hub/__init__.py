"""What a model needs to be shared: its card."""

from .model_card import CardError, render_model_card, write_model_card

__all__ = ["CardError", "render_model_card", "write_model_card"]
