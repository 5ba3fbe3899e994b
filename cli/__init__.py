"""The commands of `auricle`, one thin module each."""
