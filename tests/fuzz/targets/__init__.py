"""One module per parser: ``SEEDS`` (small valid inputs) and ``target(data)``, which runs the parser on some bytes.

``target`` may raise HullError; anything else that it raises, more than 5 s or 300 MB for one input, is a finding.
"""
