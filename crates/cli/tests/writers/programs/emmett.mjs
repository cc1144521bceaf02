// Appends events by Emmett's store: emmett.mjs prepare URL makes its tables; emmett.mjs write URL appends until the
// standard input ends, and prints what was acknowledged.

import { webcrypto } from 'node:crypto';
import { acknowledge, below, chance, packages, pause, write } from './loop.mjs';

// Emmett expects it, and Node.js 18 does not have it: Debian 12 has that.
globalThis.crypto ??= webcrypto;

const { getPostgreSQLEventStore } = packages('@event-driven-io/emmett-postgresql');
const { isExpectedVersionConflictError, NO_CONCURRENCY_CHECK, projections } = packages('@event-driven-io/emmett');

const STREAMS = 40;

class RolledBack extends Error {}

// An inline projection runs in the transaction of the append, when the events have their positions. One that throws
// rolls it back.
const slow = {
  canHandle: ['Paid'],
  handle: async () => {
    await pause();
    if (chance(0.1)) throw new RolledBack();
  },
};

const append = async (store) => {
  const stream = `order:${below(STREAMS)}`;
  const events = Array.from({ length: 1 + below(4) }, (_, cents) => ({ type: 'Paid', data: { cents } }));
  try {
    const expectedStreamVersion = chance(0.7)
      ? (await store.readStream(stream)).currentStreamVersion
      : NO_CONCURRENCY_CHECK;
    const appended = await store.appendToStream(stream, events, { expectedStreamVersion });
    const last = Number(appended.nextExpectedStreamVersion);
    events.forEach((_, n) => acknowledge(stream, last - events.length + 1 + n));
  } catch (error) {
    if (!(error instanceof RolledBack || isExpectedVersionConflictError(error))) throw error;
  }
};

const [command, url] = process.argv.slice(2);
const store = getPostgreSQLEventStore(url, {
  projections: projections.inline([slow]),
  schema: { autoMigration: command === 'prepare' ? 'CreateOrUpdate' : 'None' },
});
if (command === 'prepare') {
  await store.schema.migrate();
} else {
  await write(4, () => append(store));
}
await store.close();
