"""What LiteRT for Microcontrollers needs of a file: operations, memory, C sources."""
