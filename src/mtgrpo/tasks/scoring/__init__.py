"""Scoring: batches of completions of mixed tasks, in this process or in others."""
