"""Alerts of the running pool: watched for, kept in the outbox, and sent to webhooks.

Rule: an alert that was raised is delivered once or given up with a reason.
"""
