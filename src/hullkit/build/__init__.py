"""The recipe of a build: text → config → images → system → files."""
