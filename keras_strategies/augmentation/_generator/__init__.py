"""What `ImageDataGenerator` is made of; nothing here is public."""
