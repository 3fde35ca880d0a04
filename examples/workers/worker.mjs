#!/usr/bin/env node
// An outside worker for galloc; Node's own modules alone. Put your own rule, or your own model, into decide().
//
// As the command of `gallocctl work`, which leases, renews, retries and restarts for it:
//     gallocctl work --parallel 4 -- ./worker.mjs
// By itself on the daemon's socket (the worker socket, where there is one):
//     ./worker.mjs /run/galloc/gallocd.sock [RUN]
import http from 'node:http';
import os from 'node:os';

const specialityOf = (fields) => ((fields.status ?? 'regular') === 'regular' ? 'servicing' : 'recovery');

// The rule: an agent of the same region and of the speciality that the loan needs; of several the one with the smallest load. Where nobody fits, the nearest match.
async function decide(lease) {
  const held = new Map(lease.agents.map((agent) => [agent.agent_id, agent.held]));
  const free = new Map(lease.agents.map((agent) => [agent.agent_id, agent.free ?? Infinity])); // null: no limit
  return lease.assignments.map(({ key, fields, candidates }) => {
    const misses = ({ attributes }) => (attributes.region !== fields.region) + (attributes.speciality !== specialityOf(fields));
    const [chosen] = lease.agents
      .filter((agent) => free.get(agent.agent_id) > 0 && (!candidates || candidates.includes(agent.agent_id)))
      .sort((a, b) => misses(a) - misses(b) || held.get(a.agent_id) - held.get(b.agent_id) || (a.agent_id < b.agent_id ? -1 : 1));
    if (!chosen) return { key, error: { code: 'no_room', message: 'nobody in this lease has room', retry: true } };
    const agentId = chosen.agent_id;
    held.set(agentId, held.get(agentId) + 1);
    free.set(agentId, free.get(agentId) - 1);
    const reason = misses(chosen) === 0 ? 'same region and speciality, smallest load' : 'nobody of the region and speciality has room: the nearest match';
    return { key, agent_id: agentId, reason, confidence: [0.9, 0.5, 0.2][misses(chosen)] };
  });
}

function request(socketPath, method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
    const sent = http.request({ socketPath, method, path, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('error', reject).on('data', (piece) => (text += piece));
      answer.on('end', () => resolve({ status: answer.statusCode, json: text ? JSON.parse(text) : null }));
    });
    sent.on('error', reject).end(body);
  });
}

// A daemon that restarts, drains or is busy is waited for: everything here may be repeated safely.
async function call(socketPath, method, path, body) {
  for (;;) {
    const answer = await request(socketPath, method, path, body && JSON.stringify(body)).catch(() => null);
    if (answer && ![429, 503, 507].includes(answer.status)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

async function serve(socketPath, run) {
  const ask = { worker: `${os.hostname()}:${process.pid}`, max: 10, wait_ms: 20000, ...(run ? { run } : {}) };
  for (;;) {
    const { status, json: lease } = await call(socketPath, 'POST', '/v1/leases', ask);
    if (status === 204) continue; // nothing to do within the wait
    if (status !== 200) {
      console.error(lease.detail);
      if (lease.code === 'paused') continue;
      return lease.code === 'wrong_state' ? 0 : 1; // wrong_state: the run is done
    }
    // Held while the batch is decided. One that is lost (410) fences what is told of it: nothing comes of it twice.
    const renewing = setInterval(() => call(socketPath, 'POST', `/v1/leases/${lease.lease}/renew`), lease.ttl_ms / 3);
    const results = await decide(lease).finally(() => clearInterval(renewing));
    const told = await call(socketPath, 'POST', `/v1/leases/${lease.lease}/results`, { results });
    for (const { key, verdict, message } of told.json.items ?? [])
      if (verdict !== 'succeeded' && verdict !== 'duplicate') console.error(`${key}: ${verdict} ${message ?? ''}`);
  }
}

if (process.argv.length > 2) {
  process.exitCode = await serve(process.argv[2], process.argv[3]);
} else {
  let text = '';
  for await (const piece of process.stdin.setEncoding('utf8')) text += piece;
  process.stdout.write(JSON.stringify({ results: await decide(JSON.parse(text)) }));
}
