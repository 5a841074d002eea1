"""The generated parts of `docs/`: what the code says, written between two marks of a page.

A page of `docs/` is written by hand. If the code knows better, the page has a block:

    <!-- generated: NAME -->
    ...
    <!-- end -->

`python -m scripts.reference` writes every block anew, `--check` names the pages that differ.
One module here is one kind of block; the names are in `blocks.py`.
"""
