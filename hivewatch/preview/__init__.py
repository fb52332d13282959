"""The live picture on a web page, for aiming and focusing a camera."""
