"""What travels with a model for its life after: when to abstain, what is strange to it, what its images looked like."""
