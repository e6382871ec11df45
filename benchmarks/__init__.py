"""What is measured, and how; each prints ratios measured side by side in one run."""
