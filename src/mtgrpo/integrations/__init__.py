"""Bindings to training engines: the only part of mtgrpo that imports torch, TRL or verl."""
