"""What decisions come to, over many pods and against one another: for reviewers, reports and CI."""
