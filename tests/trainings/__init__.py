"""Tests of what runs trainings; a package, so that one Ray lives as long as they take."""
