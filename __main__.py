"""``python -m auricle``: the same as the `auricle` command."""

from auricle.cli.main import main

if __name__ == "__main__":
    main()
