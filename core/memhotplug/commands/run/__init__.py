"""Running a scenario: the steps one after the other, what became of each, and how that is shown.

``runner`` runs, ``expect`` judges assertions, ``record`` and ``jsontext`` are the machine-readable
form, ``text`` is the form for people, ``files`` writes both, ``watchdog`` ends what hangs.
"""
