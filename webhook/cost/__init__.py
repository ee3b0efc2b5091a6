"""What starting costs: seconds, by bytes and rates."""
