"""File names of the Universal Category System (universalcategorysystem.com), recognised by their form."""

import re
from dataclasses import dataclass

# Capitals for the category, then one capitalised word for the subcategory: `AMBForst`, `UIClick`, `WEATRain`.
_CATEGORY_ID = re.compile(r"([A-Z]{2,5})([A-Z][a-z]{1,8})(?:-([^_-][^_]*))?")


@dataclass(frozen=True)
class UcsName:
    """
    Attributes:
        catid: category and subcategory as one word.
        category, subcategory: its two abbreviated parts.
        user_category: the text after a hyphen, or empty.
        fx_name, creator_id, source_id: the next parts of the name; empty if there are no more.
    """

    catid: str
    category: str
    subcategory: str
    user_category: str
    fx_name: str
    creator_id: str
    source_id: str


def parse_ucs_name(stem: str) -> UcsName | None:
    """
    Parses ``CatID[-UserCategory]_FXName_CreatorID_SourceID[_UserData]``; None for names of another form.

    Only the form decides: two to five capitals and a capitalised word of at most nine letters, optionally a hyphen
    with the user's own category, then an underscore and a name. Categories are not looked up in the system's list,
    so user-defined ones are recognised too.

    Args:
        stem: of the file's name, without its ending.
    """
    first, *others = (part.strip() for part in stem.split("_"))
    match = _CATEGORY_ID.fullmatch(first)
    if match is None or not others or not others[0]:
        return None
    category, subcategory, user_category = match.groups()
    fx_name, creator_id, source_id = (*others, "", "")[:3]
    return UcsName(
        catid=category + subcategory,
        category=category,
        subcategory=subcategory,
        user_category=(user_category or "").strip(),
        fx_name=fx_name,
        creator_id=creator_id,
        source_id=source_id,
    )


__all__ = ["UcsName", "parse_ucs_name"]
