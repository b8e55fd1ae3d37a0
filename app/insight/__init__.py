"""What losses tell beyond their value: curves and charts, as plain values. Nothing in here knows of HTTP."""
