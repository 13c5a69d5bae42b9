"""Read models shared by every surface: plain values made from what the store holds, free of any way to show them."""
