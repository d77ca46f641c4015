"""Reports to OpenLineage, of the operator and of the sensor."""
