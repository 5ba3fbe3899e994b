"""Publishes a finished run on the Hub: python push_to_hub.py RUN OWNER/NAME; see --help."""

from auricle.cli.lazy_commands import build_command
from auricle.cli.push import push

if __name__ == "__main__":
    build_command(push, "push_to_hub.py")()
