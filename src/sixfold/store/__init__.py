"""Where state lives. Each store implements the small protocol that its user declares."""
