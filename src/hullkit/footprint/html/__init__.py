"""The report with pictures: one HTML file that loads nothing from anywhere and runs no script."""
