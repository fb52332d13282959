"""The live picture on a web page, to aim and focus a camera."""
