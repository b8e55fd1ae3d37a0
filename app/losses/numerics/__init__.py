"""What keeps digits and time: stable forms, pairs, rows, blocks, means."""
