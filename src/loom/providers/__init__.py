"""What Loom calls in the world outside: mail, push, payments. Vendor libraries are known here and nowhere else."""
