"""`tasteprint embed --engine spark`: a driver on this machine, and tasks on any cluster."""
