"""Guest instructions to LLVM: control flow, what is known of values, the rules, loops; knows no machine."""
