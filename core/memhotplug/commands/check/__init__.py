"""Checking: every order of operations from the end of a scenario on, and the shortest that breaks a law.

``moves`` says what can happen next, ``normal_form`` when two machines are the same for all that can follow,
``laws`` what must hold, ``search`` goes through it by breadth, ``lives`` at random beyond that.
"""
