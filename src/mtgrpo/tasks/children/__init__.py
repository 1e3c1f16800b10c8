"""Processes that work for this one: started, talked to, and ended with all they started."""
