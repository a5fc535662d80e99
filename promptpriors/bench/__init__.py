"""Speed and memory against PEFT."""
