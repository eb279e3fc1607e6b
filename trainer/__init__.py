"""Training side of streamfilter: distort pictures, ask networks about them, learn their utility.

Run from a checkout: `python -m trainer label`, then `python -m trainer train`.
"""
