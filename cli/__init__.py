"""The commands behind `auricle ...`, one thin module each."""
