"""``mhp report``: one HTML file that shows what became of the memory, or what a sweep found.

``data`` records a run as plain values, ``svg`` says where on a bar each address lies and draws, ``grid`` makes the
heat maps of variants and sweeps, ``html`` puts it all into ``page.html``.
"""
