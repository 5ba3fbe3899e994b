"""Detects the kind of a checkpoint from the names of its weights."""

from collections.abc import Collection

from .key_plan import SHOWN, ConversionError

TOWERS = {"passt": "PaSST", "beats": "BEATs", "eat": "EAT"}
RETRIEVAL = "retrieval"
RETRIEVAL_AUDIO = "audio_embedding_model.model.model."
RETRIEVAL_TEXTS = {"text_embedding_model.": "DCASE 2025 baseline", "sentence_embedding_model.": "salsa"}

# Prefixes of names that identify other models' checkpoints, and what to do with such a file.
_FOREIGN = (
    (("audio_branch.",), "LAION CLAP", "use the model that transformers loads as ClapModel"),
    (("audio_model.audio_encoder.",), "CLAP in transformers' form", "ClapModel loads it directly"),
    (("caption_encoder.", "audio_encoder."), "MS-CLAP", "its architecture is not supported"),
    (
        ("audio_projection.weight", "text_projection.weight", "audio_model.", "text_model."),
        "a finished Auricle model",
        "it needs no conversion: use its directory",
    ),
    (
        ("embeddings.word_embeddings.",),
        "only a text encoder",
        "give it to a recipe as model.text.pretrained",
    ),
    (("roberta.embeddings.",), "only a text encoder", "give it to a recipe as model.text.pretrained"),
    (("bert.embeddings.",), "only a text encoder", "give it to a recipe as model.text.pretrained"),
)


def identify(names: Collection[str]) -> str | None:
    """
    The kind of model that has weights of these names.

    Returns:
        ``"passt"``, ``"beats"`` or ``"eat"`` for an audio encoder, ``"retrieval"`` for a whole retrieval model in
        the DCASE baselines' format, None for anything else.
    """
    names = set(names)
    if any(name.startswith(RETRIEVAL_AUDIO) for name in names) and publisher_of(names):
        return RETRIEVAL
    if {"cls_token", "dist_token"} & names and {"time_new_pos_embed", "freq_new_pos_embed"} & names:
        return "passt"
    if any(name.endswith("fixed_positional_encoder.positions") for name in names) or any(
        "local_encoder.proj" in name for name in names
    ):
        return "eat"
    if "patch_embedding.weight" in names or any(".self_attn.grep_a" in name for name in names):
        return "beats"
    return None


def publisher_of(names: Collection[str]) -> str | None:
    """Whose retrieval model it is: ``"salsa"``, ``"DCASE 2025 baseline"`` or None."""
    return next(
        (who for prefix, who in RETRIEVAL_TEXTS.items() if any(name.startswith(prefix) for name in names)),
        None,
    )


def check_kind(wanted: str, names: Collection[str], file: str) -> None:
    """
    Refuses a file of another kind than was asked for, saying what it is.

    Args:
        wanted: a tower's name or ``"retrieval"``.
        names: names of the weights.
        file: for the message.

    Raises:
        ConversionError: one line with what the file is and what to do with it.
    """
    found = identify(names)
    if found == wanted:
        return
    if found == RETRIEVAL:
        raise ConversionError(
            f"{file}: is a whole retrieval model in the format of {publisher_of(names)}, not {TOWERS[wanted]} "
            "alone; run `auricle convert retrieval` on it, with --tokenizer."
        )
    asked = TOWERS.get(wanted, "a retrieval model")
    if found is not None:
        alone = ", only an audio encoder" if wanted == RETRIEVAL else ""
        raise ConversionError(
            f"{file}: is a checkpoint of {TOWERS[found]}{alone}, not of {asked}; run `auricle convert {found}` "
            "on it."
        )
    for beginnings, what, advice in _FOREIGN:
        if all(any(name.startswith(beginning) for name in names) for beginning in beginnings):
            raise ConversionError(f"{file}: is {what}, not {asked}; {advice}.")
    if wanted == RETRIEVAL:
        known = (
            f"neither salsa's nor the DCASE 2025 baseline's, nor an encoder ({', '.join(TOWERS.values())})"
        )
    else:
        known = f"not a checkpoint of {asked}, nor of {', '.join(TOWERS.values())}, nor a retrieval model"
    raise ConversionError(f"{file}: is {known}; its first keys are {sorted(names)[:SHOWN]}.{_wrapped(names)}")


def _wrapped(names: Collection[str]) -> str:
    """A hint where most keys, but not all, are below one name."""
    heads = [name.split(".", 1)[0] for name in names if "." in name]
    most = max(set(heads), key=heads.count, default=None)
    if most is None or not len(names) / 2 < heads.count(most) < len(names):
        return ""
    return f" {heads.count(most)} of its {len(names)} keys begin with '{most}.': save only those, without the prefix."


__all__ = [
    "RETRIEVAL",
    "RETRIEVAL_AUDIO",
    "RETRIEVAL_TEXTS",
    "TOWERS",
    "check_kind",
    "identify",
    "publisher_of",
]
