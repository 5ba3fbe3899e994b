"""The kinds of query and their sentences."""

from dataclasses import dataclass

# {a} and {b} are names with their article, {tag_a} and {tag_b} without. Only "order" states an order; only
# "without" excludes a sound; only "count" states a number, which is in {a}. The training captions of the generated
# scenes use none of these sentences and none of their content words.
QUERY_KINDS: dict[str, tuple[str, ...]] = {
    "tag": ("{tag_a}",),
    "two words": ("{tag_a} {tag_b}", "{tag_a}, {tag_b}"),
    "question": (
        "where is there {a}?",
        "which clips contain {a}?",
        "do you have {a}?",
        "is there {a} anywhere?",
    ),
    "command": ("find {a}", "show me {a}", "search for {a}", "get me {a} please"),
    "paraphrase": ("something like {a}", "what {a} is like", "audio of {a}", "i need {a} for a film"),
    "both": ("{a} plus {b}", "{a} as well as {b}", "clips that contain {a} plus, somewhere, {b}"),
    "without": ("{a} without {b}", "{a} but no {tag_b}", "{a}, not {b}", "{a} and no {tag_b} at all"),
    "count": ("exactly {a}", "{a}, no more and no less", "find {a}, not fewer"),
    "order": ("{a}, later {b}", "{a} preceding {b}", "{a} and only afterwards {b}", "{b}, but {a} earlier"),
}


class UserQueryError(ValueError):
    """No queries can be made; the message says of which clips and why."""


@dataclass(frozen=True)
class UserQuery:
    """
    A query and what it should find.

    Attributes:
        text: the query.
        kind: a key of `QUERY_KINDS`.
        relevant: the places of the clips that fit it, ascending, at least one.
        traps: the places of the clips that hold the sounds named in the query and yet do not fit: with the excluded
            sound, another number, or the other order. Empty for kinds without such a condition.
    """

    text: str
    kind: str
    relevant: tuple[int, ...]
    traps: tuple[int, ...] = ()


def without_article(name: str) -> str:
    """`siren` of "a siren"; a name without an article stays as it is."""
    first, _, rest = name.partition(" ")
    return rest if first in ("a", "an", "the") and rest else name


__all__ = ["QUERY_KINDS", "UserQuery", "UserQueryError", "without_article"]
