"""Data sets: finding and checking images, and feeding them to the network."""
