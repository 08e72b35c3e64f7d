"""Reports: one HTML file that shows results, their errors, and trainings."""
