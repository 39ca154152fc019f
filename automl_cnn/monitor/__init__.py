"""Log what a model answers, and say when its images are no longer like those that it was judged on."""
