"""A client of gallocsim: prompts as the daemon makes them, calls, and what their answers chose."""
import http.client
import json

from harness import SLOWNESS, Answer

MODEL = "gemini-3.8-flash"
PATH = f"/v1beta/models/{MODEL}:generateContent"
AGENTS = [{"agent_id": f"A{number}", "region": region, "speciality": speciality}
          for number, (region, speciality) in enumerate([("north", "recovery"), ("north", "servicing"), ("south", "servicing")], start=1)]


def prompt(key="LAN1", held=(0, 0, 0), **fields):
    """The body of a call as the daemon makes it."""
    fields = fields or {"region": "north", "status": "loan not paid"}
    candidates = [{"agent_id": agent["agent_id"], "capacity": 10, "held": count, "free": 10 - count} for agent, count in zip(AGENTS, held)]

    def lines(rows):
        return "".join(json.dumps(row) + "\n" for row in rows)

    user = f"ASSIGNMENT\n{json.dumps({'key': key, 'fields': fields})}\n\nCANDIDATES\n{lines(candidates)}"
    properties = {"agent_id": {"type": "STRING", "enum": [agent["agent_id"] for agent in AGENTS]}, "reason": {"type": "STRING"},
                  "confidence": {"type": "NUMBER"}}
    return {"contents": [{"role": "user", "parts": [{"text": user}]}],
            "systemInstruction": {"parts": [{"text": f"Allocate.\nAGENTS\n{lines(AGENTS)}"}]},
            "generationConfig": {"temperature": 0, "maxOutputTokens": 512, "responseMimeType": "application/json",
                                 "responseSchema": {"type": "OBJECT", "properties": properties, "required": ["agent_id"]}}}


class Client:
    """One keep-alive connection to the simulator."""

    def __init__(self, sim, timeout=30):
        self.connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=timeout * SLOWNESS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def call(self, body=None, method="POST", path=PATH, headers=None):
        headers = {"x-goog-api-key": "K", "Content-Type": "application/json"} if headers is None else headers
        text = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
        self.connection.request(method, path, text, headers)
        answer = self.connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode())


def call(sim, body=None, timeout=30, **arguments):
    with Client(sim, timeout) as client:
        return client.call(prompt() if body is None and arguments.get("method", "POST") == "POST" else body, **arguments)


def choice(answer):
    assert answer.status == 200, answer
    parts = answer.json["candidates"][0]["content"]["parts"]
    return json.loads("".join(part["text"] for part in parts if not part.get("thought")))
