"""Publishes a finished run on the Hub: python push_to_hub.py RUN OWNER/NAME; see --help."""

import typer

from auricle.cli.push import push

if __name__ == "__main__":
    typer.run(push)
