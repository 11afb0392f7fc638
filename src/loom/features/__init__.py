"""One package for each area of a coaching practice; none imports another."""
