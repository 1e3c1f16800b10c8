"""The framework-free brain: which task's prompts to roll out, which groups to train on, how weights move.

Standard library and numpy only: no I/O, no clock, no logging, and no randomness but the mixer's own.
"""
