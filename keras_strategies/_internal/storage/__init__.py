"""Files that are whole or absent, locks, and JSON whose content is checked."""
