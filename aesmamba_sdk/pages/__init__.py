"""Pages for people: templates, styles and scripts of our own, and the report made of them."""
