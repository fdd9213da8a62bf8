"""The same network outside of PyTorch: its graphs, their export, and the engines that run them."""
