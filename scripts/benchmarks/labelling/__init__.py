"""Labelled fates of suggestions: what `scripts/bench labels` plays and counts.

Two releases of a package give functions that their authors changed or added. Each becomes a
suggestion in a dialect, is played into a working tree of the older release, and has a fate that the
player knows. Nothing here decides what the product should say but `truth`.
"""
