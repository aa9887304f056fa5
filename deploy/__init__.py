"""What brings preact-edge onto a device, and keeps it there."""
