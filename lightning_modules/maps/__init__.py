"""Linear maps that are fitted in closed form."""
