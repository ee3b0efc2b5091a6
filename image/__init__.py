"""What the container image is made with; see docs/image.md. Nothing of it is in the image."""
