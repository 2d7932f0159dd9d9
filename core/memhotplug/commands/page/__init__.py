"""``mhp page``: struct pages of a range, alike ones folded into runs.

Start with ``runs.py``; ``question.py`` finds out which pages are meant, ``text.py`` prints.
"""
