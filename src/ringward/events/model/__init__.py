"""What is published, stored and told: values and protocols, and nothing that acts."""
