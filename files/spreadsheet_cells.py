"""Cells of CSV files that a spreadsheet does not take for formulas."""

# What spreadsheets begin a formula with; a tab or a line's end before one is skipped by some of them.
FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")


def harmless_cell(text: str) -> str:
    """
    The text, after an apostrophe if a spreadsheet would run it as a formula: names of files, tags and queries
    come from other people. Signed numbers are no formulas.

    Args:
        text: text of one cell.
    """
    return f"'{text}" if text.startswith(FORMULA_BEGINNINGS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    # float also accepts text such as "+inf"; a number has a digit after its sign.
    return text.lstrip("+-")[:1].isdigit()


__all__ = ["harmless_cell"]
