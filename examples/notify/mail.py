#!/usr/bin/env python3
"""Mails one event of galloc. The command of `gallocctl notify`, which tries again when this fails:
    gallocctl notify --cursor FILE -- mail.py ops@example.org [...]
"""
import email.message
import json
import os
import subprocess
import sys

SENDMAIL = os.environ.get("SENDMAIL", "/usr/sbin/sendmail")

event = json.load(sys.stdin)
run = event.get("snapshot") or {}
lines = [event["text"], ""]
if run:
    lines += [f"{name}: {count}" for name, count in run["counts"].items()]
    lines += ["", f"gallocctl status {run['id']}"]
    if event["on"] == "failed":
        lines += [f"gallocctl failures {run['id']}"]
elif event.get("endpoint"):
    lines += [f"gallocctl endpoint show {event['endpoint']}"]

message = email.message.EmailMessage()
message["To"] = ", ".join(sys.argv[1:])
message["Subject"] = "galloc: " + " ".join(event["text"].split())[:200]
message["Auto-Submitted"] = "auto-generated"
message.set_content("\n".join(lines) + "\n")
sys.exit(subprocess.run([SENDMAIL, "-t", "-i"], input=message.as_bytes(), check=False).returncode)
