"""The study of SSL-MOT, repeated: its tables, figure 3, and the constants that it leaves open."""
