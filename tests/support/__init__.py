"""What several test files share, grouped by noun; no test file imports from another
(test_architecture.py)."""
