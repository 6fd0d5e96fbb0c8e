"""Routes of the server, one file for each group. They check little and compute nothing themselves."""
