"""Answers in model output: found, parsed, compared. It is hostile: nothing of it is evaluated."""
