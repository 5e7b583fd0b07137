"""The pages of analyze/, rendered from the warehouse's reporting views."""
