#!/usr/bin/env python3
"""Mails one event of galloc. The command of `gallocctl notify`, which tries again when this fails:
    gallocctl notify --cursor FILE -- mail.py ops@example.org [...]
It hands the mail to sendmail, which a mail transfer agent brings (postfix, exim4, msmtp-mta); SENDMAIL names another.
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
try:
    sys.exit(subprocess.run([SENDMAIL, "-t", "-i"], input=message.as_bytes(), check=False).returncode)
except OSError as error:
    sys.exit(f"mail.py: {SENDMAIL}: {error.strerror}; it needs a mail transfer agent: apt install msmtp-mta, or SENDMAIL=/path/to/one")
