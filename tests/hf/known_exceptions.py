"""Every common test of transformers that a class of ours does not pass, with the reason."""

EXCEPTIONS: dict[str, dict[str, str]] = {}


def reason_of(test_class: str, test: str) -> str | None:
    """Why a test is expected to fail; None if it is expected to pass."""
    return EXCEPTIONS.get(test_class, {}).get(test)
