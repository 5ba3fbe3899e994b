"""Trains by recipe: ``accelerate launch train.py RECIPE [--stage NAME] [--field value ...]``."""

from auricle.cli.train import main

if __name__ == "__main__":
    main()
