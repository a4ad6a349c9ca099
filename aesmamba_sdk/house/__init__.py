"""What stands behind the facade: the opened rooms, and what is done with them, one file a task."""
