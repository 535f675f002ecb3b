"""What people use the networks for: pictures and films upscaled, file by file, and opinion tests."""
