"""What LiteRT for Microcontrollers needs of a file: operations and memory."""
