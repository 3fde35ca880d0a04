"""The bad neighbour of R16 and R17: opens connections of every bad kind to a socket, as another user where it may, and tells what became of them.

hostile_client.py SOCKET COUNT SECONDS [UID]      prints a line "open" when all are made, then after SECONDS a line of JSON
"""
import asyncio
import json
import logging
import os
import socket
import struct
import sys
import time

LINE = b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n"


class Counts:
    def __init__(self):
        self.refused = self.closed = self.failed = self.open_most = self.open = 0


async def drip(writer, text):
    for at in range(len(text)):
        writer.write(text[at:at + 1])
        await writer.drain()
        await asyncio.sleep(1)  # lint: poll
    await asyncio.sleep(3600)  # lint: poll


async def header_drip(_, writer):
    await drip(writer, LINE + b"X-Slow: " + b"y" * 3600)


async def body_drip(_, writer):
    writer.write(b"POST /v1/estimate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 3000\r\n\r\n")
    await drip(writer, b"{" * 3000)


async def silent(_, __):
    await asyncio.sleep(3600)  # lint: poll


async def never_reads(_, writer):
    writer.transport.pause_reading()
    for _ in range(2000):
        writer.write(LINE + b"\r\n")
    await writer.drain()
    await asyncio.sleep(3600)  # lint: poll


async def garbage(_, writer):
    writer.write(os.urandom(4096))
    await writer.drain()
    await asyncio.sleep(3600)  # lint: poll


async def resets(_, writer):
    writer.write(LINE)
    await writer.drain()
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def half_closes(_, writer):
    writer.write(LINE + b"\r\n")
    writer.write_eof()
    await asyncio.sleep(3600)  # lint: poll


KINDS = (header_drip, header_drip, header_drip, silent, body_drip, never_reads, garbage, half_closes, resets)


async def watch(reader, counts):
    """Until the server closes; was it refused at the door?"""
    first = await reader.read(12)
    counts.refused += first.startswith(b"HTTP/1.1 429")
    while first:
        first = await reader.read(65536)


async def one(path, kind, counts):
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except OSError:
        counts.failed += 1
        return
    counts.open += 1
    counts.open_most = max(counts.open_most, counts.open)
    tasks = [asyncio.ensure_future(kind(reader, writer))]
    if kind is not never_reads:
        tasks.append(asyncio.ensure_future(watch(reader, counts)))
    try:
        await asyncio.wait(tasks[-1:])
        counts.closed += 1
    finally:
        counts.open -= 1
        for task in tasks:
            task.cancel()
        writer.close()


async def main(path, count, seconds):
    counts = Counts()
    tasks = [asyncio.ensure_future(one(path, KINDS[number % len(KINDS)], counts)) for number in range(count)]
    await asyncio.sleep(min(1.0, seconds / 4))  # lint: poll
    print("open", flush=True)
    header_drips = sum(1 for number in range(count) if KINDS[number % len(KINDS)] is header_drip)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await asyncio.sleep(0.1)  # lint: poll
    dripping = sum(1 for number, task in enumerate(tasks) if KINDS[number % len(KINDS)] is header_drip and not task.done())
    print(json.dumps({**vars(counts), "header_drips": header_drips, "still_dripping": dripping}), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # broken pipes are what it is for
    if len(sys.argv) > 4:
        os.setgroups([])
        os.setgid(int(sys.argv[4]))
        os.setuid(int(sys.argv[4]))
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
