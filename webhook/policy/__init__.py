"""What platform engineers write: documents read strictly, compiled once, matched to pods. Pure."""
