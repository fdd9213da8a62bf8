"""The same network computed elsewhere than in PyTorch: its graphs, their export, and the engines that run them."""
