"""The nine tasks of the embedded model: three families at three levels, compactly written."""
