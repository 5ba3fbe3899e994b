"""Guards that every configuration shares."""

import difflib
from collections.abc import Iterable

from transformers.configuration_utils import PreTrainedConfig


def refuse_misspelt_fields(config: PreTrainedConfig, extra: Iterable[str]) -> None:
    """
    Raises for a keyword that is no field of the config but nearly the name of one.

    Configs keep unknown keywords as plain attributes, which the Hub's own tooling relies on; a misspelt field
    would pass in the same way and leave the default in force.

    Args:
        config: the config being built.
        extra: names of the keywords that are no fields.

    Raises:
        ValueError: names the keyword and the field that was probably meant.
    """
    fields = list(type(config).__dataclass_fields__)
    for name in extra:
        nearest = difflib.get_close_matches(name, fields, n=1, cutoff=0.85)
        if nearest and name not in fields:
            raise ValueError(f"{type(config).__name__} has no field {name!r}; did you mean {nearest[0]!r}?")


def refuse_numbers_below_one(config: PreTrainedConfig, fields: Iterable[str]) -> None:
    """
    Raises for a size or a count that is 0 or negative.

    Args:
        config: the config being built.
        fields: names of its fields that hold whole numbers.

    Raises:
        ValueError: names the field and its value.
    """
    for name in fields:
        if getattr(config, name) < 1:
            raise ValueError(f"{name}={getattr(config, name)} must be at least 1.")


def refuse_impossible_cluster_count(num_clusters: int) -> None:
    """
    Raises for a number of clusters that no cluster head can be made for.

    Args:
        num_clusters: 0 stands for no heads.

    Raises:
        ValueError: unless it is 0 or at least 2; a single class leaves a head nothing to tell.
    """
    if num_clusters < 0 or num_clusters == 1:
        raise ValueError(f"num_clusters={num_clusters} must be 0 (no cluster heads) or at least 2.")
