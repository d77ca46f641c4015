"""What the operator and the sensor report to OpenLineage."""
