"""HTTP lives here and nowhere else: one router, one file."""
