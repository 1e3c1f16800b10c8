"""The framework-free brain: which prompts to roll out, which groups to train on, which weights.

Standard library and numpy only: no I/O, no clock, no logging, and no randomness but the
mixer's.
"""
