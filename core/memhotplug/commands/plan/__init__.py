"""Planning: will this hot-add fit, what does it cost, what is the largest safe step.

Every answer is a trial: the engine plays the hot-add on a copy of the machine. There is no second
formula anywhere.
"""
