"""gradaudit audits hand-written gradients against finite differences, index by index."""
