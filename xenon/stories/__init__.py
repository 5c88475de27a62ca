"""What knows both llamas and consoles: sessions, budgets, estimates and benchmarks."""
