"""Damaged files and inputs, at random: what is refused is refused by a documented error."""
