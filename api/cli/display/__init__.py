"""Reports as tables and bars on a terminal."""
