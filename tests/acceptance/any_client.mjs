// Signals an entity, starts an orchestration, raises an event for it and reads the answer, with nothing but the `redis` package.
// usage: node any_client.mjs URL
import { createClient } from 'redis';

const client = createClient({ url: process.argv[2], RESP: 2 });
await client.connect();
const hub = 'ds:{default}:in';
await client.xAdd(hub, '*', { op: 'signal', entity: 'Seen', key: 'from-node', operation: 'note', input: '{"by": "node"}' });
await client.xAdd(hub, '*', { op: 'start', name: 'approve', id: 'from-node', input: '{"n": 1}', reply: 'node:answers' });
await client.xAdd(hub, '*', { op: 'event', id: 'from-node', name: 'approved', data: '"by node"' });
const answer = await client.blPop('node:answers', 20);
console.log(answer.element);
await client.close();
