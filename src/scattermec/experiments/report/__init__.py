"""The report of a reproduction; everything is drawn from the data in its folder."""
