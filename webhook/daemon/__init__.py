"""What every long-running process of ours shares: its log, its plain port, its end."""
