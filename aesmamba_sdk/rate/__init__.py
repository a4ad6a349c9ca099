"""A local page to rate photos on, those first that teach most about a person's taste."""
