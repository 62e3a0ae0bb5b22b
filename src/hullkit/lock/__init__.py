"""Pins: what exactly a system is made of, per architecture."""
