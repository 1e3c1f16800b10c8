"""The nine tasks of the embedded model: three families at three levels, in a compact writing."""
