"""Fine-tuning of the best linear candidate's network, where there are songs enough for it."""
