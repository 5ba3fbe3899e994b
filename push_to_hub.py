"""Publishes a finished run on the Hub: python push_to_hub.py RUN OWNER/NAME; see --help."""

from auricle.cli.lazy_commands import single_command
from auricle.cli.push import push

app = single_command(push, "push_to_hub.py")

if __name__ == "__main__":
    app()
