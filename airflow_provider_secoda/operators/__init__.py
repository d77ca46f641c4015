"""Secoda in Apache Airflow."""
