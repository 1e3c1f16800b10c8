"""Answers in model output: found, parsed and compared. Model output is hostile: nothing is evaluated."""
