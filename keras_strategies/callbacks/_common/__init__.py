"""Parts that callbacks of several families share."""
