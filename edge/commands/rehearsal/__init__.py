"""Rules over a recording: what an installer looks at before a camera hangs."""
