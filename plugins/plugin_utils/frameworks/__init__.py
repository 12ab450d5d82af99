"""Controller side of the frameworks: archives, extra packages, RStudio Server."""
