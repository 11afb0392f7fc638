"""Everything outside Loom, behind protocols: mail, push, payment gateways."""
