"""What goes on the wire: topics and JSON documents are made in this package and nowhere else."""
