"""Files for microcontrollers."""
