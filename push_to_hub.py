"""Publishes a finished run on the Hub: python push_to_hub.py RUN OWNER/NAME; see --help."""

import typer

from auricle.cli.push import push

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(push)

if __name__ == "__main__":
    app()
