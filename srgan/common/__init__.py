"""What every room uses: errors, files, processes, number formats, images."""
